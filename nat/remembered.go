// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// Remembered says which backends the clients of sticky frontends may be remembered with. It
// shares the lists of the frontends, so its cost does not depend on their endpoints.
type Remembered map[inet.Addr]backendLists

type backendLists struct {
	all   []Backend
	local []netip.AddrPort
}

// Add permits the backends of a canonical frontend if it is sticky.
func (r Remembered) Add(key inet.Addr, f *Frontend) {
	if f.Affinity > 0 {
		r[key] = backendLists{all: f.Backends, local: f.LocalBackends}
	}
}

// Has reports whether a client may be remembered with a backend.
func (r Remembered) Has(p Pair) bool { return r[p.Frontend].has(p) }

// MayRemember is Remembered.Has for the canonical frontend of a pair.
func (f *Frontend) MayRemember(p Pair) bool {
	return f.Affinity > 0 && backendLists{all: f.Backends, local: f.LocalBackends}.has(p)
}

func (l backendLists) has(p Pair) (has bool) {
	if p.Local {
		_, has = slices.BinarySearchFunc(l.local, p.Backend, netip.AddrPort.Compare)
	} else {
		_, has = slices.BinarySearchFunc(l.all, p.Backend, func(b Backend, at netip.AddrPort) int { return b.AddrPort().Compare(at) })
	}
	return has
}
