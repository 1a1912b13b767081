// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// event is one thing that changed in the kernel, for all we know by our own
// hand: the port number of the sender, by which one could tell, is missing from
// notifications about FDB entries and about neighbours that are deleted.
type event struct {
	gone  bool
	link  *kernelLink
	entry *found
	// route is set on a default route.
	route bool
}

// interest says which events matter, so that a node with many pods, whose
// devices and neighbours come and go, does not wake the loop.
type interest struct {
	protocol uint8
	names    []string // of our devices
	ours     []int32  // their indices
	uplinks  []int32  // of the devices that carry underlay addresses
	underlay []netip.Addr
	defaults bool
}

func watchGroups() []uint32 {
	return []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	}
}

// watchBuffer is asked for, so that the echoes of a first sync fit. An
// unprivileged namespace gets less, and then reads everything once more.
const watchBuffer = 8 << 20

// watch passes events that matter to noted until ctx ends; lost says that some
// were, or may have been.
func watch(ctx context.Context, ns *netns.NS, matters func() *interest, noted func([]event), lost func()) error {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: ns, Groups: watchGroups(), ReceiveBuffer: watchBuffer})
	if err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	defer func() { _ = s.Close() }()
	var in *interest
	var events []event
	err = s.Listen(ctx, func(m nl.Reply) {
		if in == nil {
			in = matters()
		}
		if e, ok := in.event(m); ok {
			events = append(events, e)
		}
	}, func() {
		if len(events) > 0 {
			noted(events)
		}
		in, events = nil, nil
	}, lost)
	if err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	return nil
}

func (in *interest) event(m nl.Reply) (event, bool) {
	e := event{gone: m.Kind == unix.RTM_DELLINK || m.Kind == unix.RTM_DELADDR || m.Kind == unix.RTM_DELNEIGH || m.Kind == unix.RTM_DELROUTE}
	if m.Kind == unix.RTM_NEWLINK || m.Kind == unix.RTM_DELLINK {
		l, ok := decodeLink(m.Body)
		e.link = &l
		return e, ok && (slices.Contains(in.names, l.name) || slices.Contains(in.ours, l.index) || slices.Contains(in.uplinks, l.index))
	}
	f, ok := decodeEntry(m, in.protocol)
	e.entry = &f
	switch {
	case f.Kind == Route && !ok:
		e.route = in.defaults && f.Dst.IsValid() && f.Dst.Bits() == 0
		return e, e.route
	case !ok:
		return e, false
	case f.Kind == Address && !slices.Contains(in.ours, f.index):
		return e, slices.Contains(in.uplinks, f.index) || slices.Contains(in.underlay, f.Dst.Addr())
	}
	return e, f.Kind == Route || slices.Contains(in.ours, f.index)
}

// surprising reports whether an event is news: not what was written anyway.
func (k *Keeper) surprising(e *event) bool {
	switch {
	case e.link != nil:
		return k.surprisingLink(e)
	case e.route:
		return true
	}
	f := *e.entry
	if f.Kind == Address && !k.owns(f.index) {
		l := k.linkAt(f.index)
		return l == nil || slices.Contains(l.Addrs, f.Dst) == e.gone
	}
	f.Device = k.names[f.index]
	if ignored(&f.Entry) {
		return false
	}
	// Older kernels tell of an FDB entry twice: the driver, and the core, which
	// knows no destination. Seen on 6.1, not on 6.18.
	if f.Kind == FDB && !f.Via.IsValid() && !e.gone {
		return false
	}
	have, exists := k.have[f.Key()]
	if e.gone || f.transient {
		return exists
	}
	return !exists || have != f.Entry
}

func (k *Keeper) surprisingLink(e *event) bool {
	if d := k.device(e.link.name); d != nil {
		return e.gone || !d.same(e.link)
	}
	l := k.linkAt(e.link.index)
	return l == nil || e.gone || l.Name != e.link.name || l.MTU != e.link.mtu || l.Up != e.link.up()
}
