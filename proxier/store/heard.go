// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"time"
)

// Heard notes that a source delivered a list, an event or a bookmark now.
func (s *Store) Heard(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard[source] = time.Now()
}

// LastHeard returns when each source was last heard.
func (s *Store) LastHeard() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.heard)
}
