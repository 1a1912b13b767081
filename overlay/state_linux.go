// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"
	"time"
)

// state is what the goroutine of Keeper.Run knows.
type state struct {
	sock     *conn
	batch    int       // how many requests go out at once
	version  uint64    // of the input that the last pass saw
	distrust bool      // have may be wrong
	looked   time.Time // when the kernel was read last

	seen     *seen
	underlay [2]netip.Addr // of the node, when the kernel was read
	names    map[int32]string
	index    map[string]int32
	owned    map[int32]string // our devices

	plan    *planner // of the last pass, nil if it cannot be built upon
	devices []Device // that are in place
	have    Entries  // acknowledged by the kernel, or read from it
	ready   bool
}

// ours reports whether we may do with a device what we like. The alias finds
// those that an earlier Config named otherwise.
func (k *Keeper) ours(l *kernelLink) bool {
	return l.kind == "vxlan" && (l.name == k.cfg.Device4 || l.name == k.cfg.Device6 || l.alias == Alias)
}

// look reads links and addresses, and tells the watch which of them matter.
func (k *Keeper) look(underlay [2]netip.Addr) error {
	view, err := look(k.sock, k.ours, underlay)
	if err != nil {
		return err
	}
	k.seen, k.underlay, k.looked = view, underlay, time.Now()
	k.names = make(map[int32]string, len(view.links))
	k.index = make(map[string]int32, len(view.links))
	k.owned = map[int32]string{}
	for i := range view.links {
		l := &view.links[i]
		k.names[l.index], k.index[l.name] = l.name, l.index
		if k.ours(l) {
			k.owned[l.index] = l.name
		}
	}
	k.setInterest()
	k.plan = nil // it was made for another underlay, maybe
	k.mu.Lock()
	k.net = &view.net
	k.mu.Unlock()
	return nil
}

func (k *Keeper) setInterest() {
	in := &interest{protocol: k.cfg.Protocol, names: []string{k.cfg.Device4, k.cfg.Device6}, defaults: k.seen.defaults}
	for index := range k.owned {
		in.ours = append(in.ours, index)
	}
	for _, a := range k.underlay {
		if !a.IsValid() {
			continue
		}
		in.underlay = append(in.underlay, a)
		bearing, _ := k.seen.net.bearing(a)
		for _, l := range []*Link{bearing, k.seen.net.egress(a)} {
			if l != nil && !slices.Contains(in.uplinks, k.index[l.Name]) {
				in.uplinks = append(in.uplinks, k.index[l.Name])
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
func (k *Keeper) linkAt(index int32) *Link {
	name, known := k.names[index]
	if !known {
		return nil
	}
	for i := range k.seen.net.Links {
		if k.seen.net.Links[i].Name == name {
			return &k.seen.net.Links[i]
		}
	}
	return nil
}

// device returns the device of a name that is in place, or nil.
func (k *Keeper) device(name string) *Device {
	for i := range k.devices {
		if k.devices[i].Name == name {
			return &k.devices[i]
		}
	}
	return nil
}
