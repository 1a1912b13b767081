// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nltest

import (
	"sync"

	"fairlead/internal/nl"
)

// Refuser is nl.Calls that refuses what a Socket can do without, as a seccomp profile may. Set
// Errnos, by name, before its first use.
type Refuser struct {
	Counter
	Errnos map[string]error

	mu    sync.Mutex
	tried map[string]int
}

var _ nl.OptionalCalls = (*Refuser)(nil)

// Optional implements nl.OptionalCalls.
func (r *Refuser) Optional(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tried == nil {
		r.tried = map[string]int{}
	}
	r.tried[name]++
	return r.Errnos[name]
}

// Tried returns how often something was tried.
func (r *Refuser) Tried(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried[name]
}
