// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fairlead/internal/inet"
	"fairlead/proxier/store"
)

// staleFlows are frontends whose flows may be stale after the commit.
type staleFlows struct {
	of   map[inet.Addr]struct{}
	most int // since of was made
}

func newStaleFlows() staleFlows { return staleFlows{of: map[inet.Addr]struct{}{}} }

// add notes that flows to an address may be stale.
func (f *staleFlows) add(a inet.Addr) {
	f.of[a] = struct{}{}
	f.most = max(f.most, len(f.of))
}

// done notes that flows to an address are dealt with.
func (f *staleFlows) done(a inet.Addr) {
	if delete(f.of, a); len(f.of) == 0 && f.most > store.MostIdle {
		*f = newStaleFlows()
	}
}
