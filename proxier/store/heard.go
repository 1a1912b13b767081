// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"time"
)

// Heard is the last sign of life of a source.
type Heard struct {
	At time.Time
	// Revision is the resourceVersion up to which the source has delivered everything. Those
	// of one kind of objects can be compared, also between agents (KEP-5504).
	Revision string
}

// Heard notes that a source delivered a list, an event or a bookmark now. Without a revision
// the one before stays.
func (s *Store) Heard(source, revision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision == "" {
		revision = s.heard[source].Revision
	}
	s.heard[source] = Heard{At: time.Now(), Revision: revision}
}

// LastHeard returns when each source was last heard, and its revision.
func (s *Store) LastHeard() map[string]Heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.heard)
}
