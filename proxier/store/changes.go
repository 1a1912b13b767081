// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import "time"

// Changes counts what sources changed in a store.
type Changes struct {
	Services, Slices int
	others           int // nodes, ServiceCIDRs, pods and settings
	Last             time.Time
}

// ChangeCounts returns the number of all changes, and of those that the kernel has.
func (s *Store) ChangeCounts() (total, done Changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes, s.done
}

// Programmed notes that the kernel has the changes that were taken.
func (s *Store) Programmed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = s.taken
}
