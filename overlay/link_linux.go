// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// kernelLink is a network device as the kernel reports it.
type kernelLink struct {
	index    int32
	name     string
	alias    string
	kind     string // "vxlan", "veth", …; "" for hardware
	flags    uint32
	mtu      int
	mac      MAC
	speaksLL bool // gives itself a link-local address
	vxlan    vxlanInfo
}

func (l *kernelLink) up() bool { return l.flags&unix.IFF_UP != 0 }

// vxlanInfo is what a VXLAN device was made with.
type vxlanInfo struct {
	vni      uint32
	port     uint16
	local    netip.Addr
	learning bool
	lower    bool // has a lower link, with which it goes
	// odd is set by what we never ask for and what cannot be changed later: a
	// default destination, metadata mode, extensions.
	odd bool
}

// How a device comes by a link-local address, and the value for none at all.
const (
	addrGenMode     = unix.IFLA_INET6_ADDR_GEN_MODE
	addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
)

func decodeLink(b []byte) (l kernelLink, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.index, l.flags = int32(nl.U32(b[4:])), nl.U32(b[8:])
	for kind, v := range nl.Attrs(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = nl.String(v)
		case unix.IFLA_IFALIAS:
			l.alias = nl.String(v)
		case unix.IFLA_MTU:
			l.mtu = int(nl.U32(v))
		case unix.IFLA_ADDRESS:
			if len(v) == len(l.mac) {
				copy(l.mac[:], v)
			}
		case unix.IFLA_AF_SPEC:
			l.decodeFamilies(v)
		case unix.IFLA_LINKINFO:
			l.decodeInfo(v)
		}
	}
	return l, l.name != ""
}

func (l *kernelLink) decodeFamilies(b []byte) {
	for family, v := range nl.Attrs(b) {
		if family != unix.AF_INET6 {
			continue
		}
		for kind, v := range nl.Attrs(v) {
			if kind == addrGenMode {
				l.speaksLL = nl.U8(v) != addrGenModeNone
			}
		}
	}
}

func (l *kernelLink) decodeInfo(b []byte) {
	var data []byte
	for kind, v := range nl.Attrs(b) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			l.kind = nl.String(v)
		case unix.IFLA_INFO_DATA:
			data = v
		}
	}
	if l.kind == "vxlan" {
		l.vxlan = decodeVXLAN(data)
	}
}

func decodeVXLAN(b []byte) (x vxlanInfo) {
	for kind, v := range nl.Attrs(b) {
		switch kind {
		case unix.IFLA_VXLAN_ID:
			x.vni = nl.U32(v)
		case unix.IFLA_VXLAN_PORT:
			x.port = nl.BE16(v)
		case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
			x.local, _ = netip.AddrFromSlice(v)
		case unix.IFLA_VXLAN_LEARNING:
			x.learning = nl.U8(v) != 0
		case unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6, unix.IFLA_VXLAN_GBP, unix.IFLA_VXLAN_GPE:
			x.odd = true
		case unix.IFLA_VXLAN_LINK:
			x.lower = nl.U32(v) != 0
		case unix.IFLA_VXLAN_COLLECT_METADATA, unix.IFLA_VXLAN_PROXY, unix.IFLA_VXLAN_RSC, unix.IFLA_VXLAN_L2MISS, unix.IFLA_VXLAN_L3MISS:
			x.odd = x.odd || nl.U8(v) != 0
		}
	}
	return x
}
