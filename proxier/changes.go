// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import "time"

// changes counts what sources changed in a store.
type changes struct {
	services, slices int
	others           int // nodes, ServiceCIDRs, pods and settings
	last             time.Time
}

// changeCounts returns all changes that there were, and those among them that
// the kernel has.
func (s *Store) changeCounts() (total, done changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes, s.done
}

// programmed notes that the kernel has the changes that were taken.
func (s *Store) programmed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = s.taken
}
