// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"time"

	"fairlead/nat/apply"
	"fairlead/proxier/objects"
)

// work is what the loop did since the last line about a sync.
type work struct {
	services, endpoints int // that were resolved
	batches, loads      int
	elements            apply.Elements
}

// resolved counts a Service with its endpoints.
func (w *work) resolved(from []*objects.Slice) {
	w.services++
	for _, s := range from {
		w.endpoints += len(s.Endpoints)
	}
}

// applied counts what a round wrote.
func (w *work) applied(r *apply.Result) {
	w.loads += r.Loads
	w.batches += len(r.Commits)
	for i := range r.Commits {
		w.elements.Add(r.Commits[i].Elements)
	}
}

// facts returns the keys and values of a line about the sync that began at start.
func (w *work) facts(start time.Time) []any {
	return []any{
		"services", w.services, "endpoints", w.endpoints,
		"added", w.elements.Added, "changed", w.elements.Changed, "deleted", w.elements.Deleted,
		"batches", w.batches, "loads", w.loads, "took", time.Since(start).Round(10 * time.Microsecond),
	}
}
