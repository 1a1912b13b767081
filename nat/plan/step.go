// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Step is a batch and what the State knows once the kernel has taken it.
type Step struct {
	ruleset.Batch
	changes []change
	unstick []nat.Pair
}

// change is what a batch makes of one frontend.
type change struct {
	key  inet.Addr
	now  *installed // nil: gone
	done bool       // the frontend is then as wanted
}

// Keys returns the frontends that the step changes.
func (s *Step) Keys() []inet.Addr {
	keys := make([]inet.Addr, len(s.changes))
	for i, c := range s.changes {
		keys[i] = c.key
	}
	return keys
}

// Unstick returns what clients of sticky frontends must no longer be remembered
// with once the batch is committed. A Pair without backend stands for all
// backends of a frontend that is not sticky any more. See Forgetter.
func (s *Step) Unstick() []nat.Pair { return s.unstick }
