// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"net/netip"
)

// Kind is the kind of an Entry. Entries are added in this order, so that a packet that
// meets an entry finds those it leads to, and removed in reverse order.
type Kind uint8

// The kinds of entries.
const (
	Address   Kind = iota // of our own VTEP
	FDB                   // peer's VTEP MAC to underlay address
	Neighbour             // peer's VTEP address to VTEP MAC
	Route                 // peer's pod CIDR to VTEP address, or to underlay address
	Rule                  // of earlier versions, to ReplyTable; no plan has any
)

// Entry is one object in the kernel. Entries are comparable: two entries are equal if
// the kernel's objects are.
type Entry struct {
	Kind   Kind
	Device string
	Dst    netip.Prefix // address, neighbour, destination of the route, or source of the rule; none for an FDB entry
	MAC    MAC          // of a neighbour or FDB entry
	Via    netip.Addr   // gateway of a route, underlay address of an FDB entry
	OnLink bool         // the gateway of the route need not be in a subnet of the device
	Metric uint32       // of a route, as the kernel reports it; priority of a rule
	Table  uint32       // of a route or rule; 0 is the main table
	Mark   uint32       // of packets that a rule is for
	// Odd means that the kernel's object has a property that fairlead never writes, so
	// it equals no planned entry.
	Odd bool
}

// Key identifies an entry: the kernel holds at most one of those with the same key.
type Key struct {
	kind   Kind
	device string
	dst    netip.Prefix
	mac    MAC
	metric uint32
	table  uint32
}

// Key returns the key of e.
func (e *Entry) Key() Key {
	switch e.Kind {
	case FDB:
		k := Key{kind: FDB, device: e.Device, mac: e.MAC}
		if !e.MAC.unicast() && e.Via.IsValid() { // flooded to any number of addresses
			k.dst = Single(e.Via)
		}
		return k
	case Route:
		return Key{kind: Route, dst: e.Dst, metric: e.Metric, table: e.Table} // moves between devices
	case Rule:
		return Key{kind: Rule, dst: e.Dst, metric: e.Metric, table: e.Table}
	default:
		return Key{kind: e.Kind, device: e.Device, dst: e.Dst}
	}
}

// compare orders entries for readers and for the kernel: by kind first.
func (e *Entry) compare(o *Entry) int {
	if e.Kind != o.Kind {
		return cmp.Compare(e.Kind, o.Kind)
	}
	if c := cmp.Or(cmp.Compare(e.Table, o.Table), cmp.Compare(e.Device, o.Device)); c != 0 {
		return c
	}
	if e.Dst != o.Dst { // Compare allocates an error for a prefix that is not set
		if c := e.Dst.Compare(o.Dst); c != 0 {
			return c
		}
	}
	if c := e.Via.Compare(o.Via); c != 0 {
		return c
	}
	if c := bytes.Compare(e.MAC[:], o.MAC[:]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(e.Metric, o.Metric), cmp.Compare(e.Table, o.Table))
}

// Entries are objects by key.
type Entries map[Key]Entry

// Put adds an entry, or replaces the one with the same key.
func (es Entries) Put(e Entry) { es[e.Key()] = e }

// Single returns the prefix that holds one address only.
func Single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Device is a VXLAN device.
type Device struct {
	Name  string
	VNI   uint32
	Port  uint16
	Local netip.Addr
	MAC   MAC
	MTU   int
	// Lower allows a lower link: see Config.TakeOver.
	Lower bool
}
