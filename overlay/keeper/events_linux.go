// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"slices"

	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// surprising reports whether an event tells of something that the Keeper did not
// write.
func (k *Keeper) surprising(e *kernel.Event) bool {
	switch {
	case e.Link != nil:
		return k.surprisingLink(e)
	case e.Route:
		return true
	}
	f := *e.Entry
	if f.Kind == overlay.Address && !k.owns(f.Index) {
		l := k.linkAt(f.Index)
		return l == nil || slices.Contains(l.Addrs, f.Dst) == e.Gone
	}
	f.Device = k.names[f.Index]
	if kernel.Ignored(&f.Entry) {
		return false
	}
	// Kernel 6.1 notifies twice of an FDB entry: once by the driver, and once by the
	// core without the destination. Kernel 6.18 notifies once.
	if f.Kind == overlay.FDB && !f.Via.IsValid() && !e.Gone {
		return false
	}
	have, exists := k.have[f.Key()]
	if e.Gone || f.Transient {
		return exists
	}
	return !exists || have != f.Entry
}

// surprisingLink reports whether a device differs from what was read or made.
func (k *Keeper) surprisingLink(e *kernel.Event) bool {
	if d := k.device(e.Link.Name); d != nil {
		return e.Gone || !kernel.Same(*d, e.Link)
	}
	l := k.linkAt(e.Link.Index)
	return l == nil || e.Gone || l.Name != e.Link.Name || l.MTU != e.Link.MTU || l.Up != e.Link.Up()
}
