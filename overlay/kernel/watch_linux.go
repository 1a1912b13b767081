// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/overlay"
)

// Event is one change in the kernel. It may be the Keeper's own: notifications about
// FDB entries and deleted neighbours lack the port number of the sender.
type Event struct {
	Gone  bool
	Link  *Link
	Entry *Found
	// Route means that the event is about a default route.
	Route bool
}

// Interest selects the events that matter. Devices and neighbours of pods come and go,
// and must not wake the Keeper.
type Interest struct {
	Protocol uint8
	Names    []string // of the overlay's devices
	Ours     []int32  // their indices
	Uplinks  []int32  // of the devices that carry underlay addresses
	Underlay []netip.Addr
	Defaults bool
	// Uplink makes links and addresses matter that it may select.
	Uplink overlay.Uplink
	// TakeOver makes routes of other programs through our devices matter.
	TakeOver bool
	// Blocked are destinations to which the kernel did not take our routes. Routes of other
	// programs matter then that go away.
	Blocked map[netip.Prefix]struct{}
	// NoDevice means that a device could not be made. VXLAN devices matter then that go away.
	NoDevice bool
}

func watchGroups() []uint32 {
	return []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	}
}

// watchBuffer has room for the notifications of a first pass over 5,000 nodes. An
// unprivileged namespace gets less, loses some, and reads everything once more.
const watchBuffer = 8 << 20

// Watch passes events that matter to noted until ctx is done, then returns nil. It calls
// lost when events are missing: at first, and after the kernel had no room for some.
func Watch(ctx context.Context, ns *netns.NS, matters func() *Interest, noted func([]Event), lost func()) error {
	return WatchWith(ctx, ns, nil, matters, noted, lost)
}

// WatchWith is Watch for tests, which stand between the socket and the kernel.
func WatchWith(ctx context.Context, ns *netns.NS, calls nl.Calls, matters func() *Interest, noted func([]Event), lost func()) error {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: ns, Groups: watchGroups(), ReceiveBuffer: watchBuffer, Calls: calls})
	if err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	defer func() { _ = s.Close() }()
	var in *Interest
	var events []Event
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

// event decodes a notification. It returns false for one that does not matter.
func (in *Interest) event(m nl.Reply) (Event, bool) {
	e := Event{Gone: m.Kind == unix.RTM_DELLINK || m.Kind == unix.RTM_DELADDR || m.Kind == unix.RTM_DELNEIGH || m.Kind == unix.RTM_DELROUTE || m.Kind == unix.RTM_DELRULE}
	if m.Kind == unix.RTM_NEWLINK || m.Kind == unix.RTM_DELLINK {
		l, ok := decodeLink(m.Body)
		e.Link = &l
		if in.NoDevice && e.Gone && l.Kind == "vxlan" {
			return e, ok
		}
		return e, ok && (slices.Contains(in.Names, l.Name) || slices.Contains(in.Ours, l.Index) || slices.Contains(in.Uplinks, l.Index) || in.Uplink.Matches(l.Name, netip.Addr{}))
	}
	f, ok := decodeEntry(m, in.Protocol)
	e.Entry = &f
	switch {
	case f.foreign(in.TakeOver, func(i int32) bool { return slices.Contains(in.Ours, i) }):
		f.Odd = true
		return e, true
	case f.Kind == overlay.Route && !ok && e.Gone && in.isBlocked(f.Dst):
		return e, true
	case f.Kind == overlay.Route && !ok:
		e.Route = in.Defaults && f.Dst.IsValid() && f.Dst.Bits() == 0
		return e, e.Route
	case !ok:
		return e, false
	case f.Kind == overlay.Address && !slices.Contains(in.Ours, f.Index):
		return e, slices.Contains(in.Uplinks, f.Index) || slices.Contains(in.Underlay, f.Dst.Addr()) || in.Uplink.Matches("", f.Dst.Addr())
	}
	return e, f.Kind == overlay.Route || f.Kind == overlay.Rule || slices.Contains(in.Ours, f.Index)
}

// isBlocked reports whether the kernel did not take our route to a destination.
func (in *Interest) isBlocked(to netip.Prefix) bool {
	_, is := in.Blocked[to]
	return is
}
