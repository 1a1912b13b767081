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

// state is what the goroutine of Keeper.Run knows.
type state struct {
	sock     *kernel.Conn
	batch    int       // how many requests go out at once
	version  uint64    // of the input that the last pass saw
	distrust bool      // have may be wrong
	looked   time.Time // when the kernel was read last

	seen     *kernel.View
	underlay [2]netip.Addr // of the node, when the kernel was read
	names    map[int32]string
	index    map[string]int32
	owned    map[int32]string // our devices

	plan    *overlay.Planner // of the last pass, nil if it cannot be built upon
	devices []overlay.Device // that are in place
	have    overlay.Entries  // acknowledged by the kernel, or read from it
	ready   bool
}

// ours reports whether we may do with a device what we like. The alias finds
// those that an earlier Config named otherwise.
func (k *Keeper) ours(l *kernel.Link) bool {
	return l.Kind == "vxlan" && (l.Name == k.cfg.Device4 || l.Name == k.cfg.Device6 || l.Alias == overlay.Alias)
}

// look reads links and addresses, and tells the watch which of them matter.
func (k *Keeper) look(underlay [2]netip.Addr) error {
	view, err := k.sock.Look(k.ours, underlay, k.cfg.Uplink.CanReach)
	if err != nil {
		return err
	}
	k.seen, k.underlay, k.looked = view, underlay, time.Now()
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
	k.plan = nil // it was made for another underlay, maybe
	k.mu.Lock()
	k.net = &view.Net
	k.mu.Unlock()
	return nil
}

func (k *Keeper) setInterest() {
	in := &kernel.Interest{Protocol: k.cfg.Protocol, Names: []string{k.cfg.Device4, k.cfg.Device6}, Defaults: k.seen.Defaults, TakeOver: k.cfg.TakeOver, Uplink: k.cfg.Uplink}
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

// device returns the device of a name that is in place, or nil.
func (k *Keeper) device(name string) *overlay.Device {
	for i := range k.devices {
		if k.devices[i].Name == name {
			return &k.devices[i]
		}
	}
	return nil
}
