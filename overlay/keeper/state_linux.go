// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"net/netip"
	"slices"
	"time"

	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// state belongs to the goroutine of Keeper.Run.
type state struct {
	sock     *kernel.Conn
	batch    int       // how many requests go out at once
	version  uint64    // of the input of the last pass
	mustLoad bool      // have may be wrong
	loaded   time.Time // when the kernel was read last
	failed   error     // of the last pass
	deaf     deaf      // what no report has said yet

	seen     *kernel.View
	underlay [2]netip.Addr // of the node when the kernel was read
	names    map[int32]string
	index    map[string]int32
	owned    map[int32]string // our devices

	plan    *overlay.Planner // of the last pass; nil if Update cannot go on from it
	devices []overlay.Device // in place
	have    overlay.Entries  // acknowledged by the kernel or read from it
	ready   bool

	// blocked are the destinations of our routes that another program's kept out in the last
	// pass, and noDevice says that a device is missing. Events read blocked, so it is replaced
	// and not changed.
	blocked  map[netip.Prefix]struct{}
	noDevice bool
}

// ours reports whether a device belongs to the overlay. The alias identifies devices
// that an earlier configuration gave another name.
func (k *Keeper) ours(l *kernel.Link) bool {
	return l.Kind == "vxlan" && (l.Name == k.cfg.Device4 || l.Name == k.cfg.Device6 || l.Alias == overlay.Alias)
}

// look reads links and addresses, and selects the events that matter.
func (k *Keeper) look(underlay [2]netip.Addr) error {
	view, err := k.sock.Look(k.ours, underlay, k.cfg.Uplink.CanReach)
	if err != nil {
		return err
	}
	k.seen, k.underlay, k.loaded = view, underlay, time.Now()
	k.names = make(map[int32]string, len(view.Links))
	k.index = make(map[string]int32, len(view.Links))
	k.owned = map[int32]string{}
	for i := range view.Links {
		l := &view.Links[i]
		k.names[l.Index], k.index[l.Name] = l.Name, l.Index
		if k.ours(l) {
			k.owned[l.Index] = l.Name
		}
	}
	k.setInterest()
	k.plan = nil // The underlay may have changed.
	k.mu.Lock()
	k.net = &view.Net
	k.mu.Unlock()
	return nil
}

// setInterest selects the events that matter while the underlay is as it was read.
func (k *Keeper) setInterest() {
	in := &kernel.Interest{Protocol: k.cfg.Protocol, Names: []string{k.cfg.Device4, k.cfg.Device6}, Defaults: k.seen.Defaults, TakeOver: k.cfg.TakeOver, Uplink: k.cfg.Uplink,
		Blocked: k.blocked, NoDevice: k.noDevice}
	for i := range k.seen.Net.Links {
		if l := &k.seen.Net.Links[i]; k.cfg.Uplink.Matches(l.Name, netip.Addr{}) || l.Name == k.seen.Net.Toward {
			in.Uplinks = append(in.Uplinks, k.index[l.Name])
		}
	}
	for index := range k.owned {
		in.Ours = append(in.Ours, index)
	}
	for _, a := range k.underlay {
		if !a.IsValid() {
			continue
		}
		in.Underlay = append(in.Underlay, a)
		bearing, _ := k.seen.Net.Bearing(a)
		for _, l := range []*overlay.Link{bearing, k.seen.Net.Egress(a)} {
			if l != nil && !slices.Contains(in.Uplinks, k.index[l.Name]) {
				in.Uplinks = append(in.Uplinks, k.index[l.Name])
			}
		}
	}
	k.interest.Store(in)
}

// owns reports whether a device with an index belongs to the overlay.
func (k *Keeper) owns(index int32) bool {
	_, ours := k.owned[index]
	return ours
}

// linkAt returns a device of the underlay, or nil.
func (k *Keeper) linkAt(index int32) *overlay.Link {
	name, known := k.names[index]
	if !known {
		return nil
	}
	for i := range k.seen.Net.Links {
		if k.seen.Net.Links[i].Name == name {
			return &k.seen.Net.Links[i]
		}
	}
	return nil
}

// device returns the device of a name if it is in place, or nil.
func (k *Keeper) device(name string) *overlay.Device {
	for i := range k.devices {
		if k.devices[i].Name == name {
			return &k.devices[i]
		}
	}
	return nil
}
