// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"net/netip"

	"fairlead/internal/nl"
	"fairlead/overlay"

	"golang.org/x/sys/unix"
)

// Link is a network device as the kernel reports it.
type Link struct {
	Index    int32
	Name     string
	Alias    string
	Kind     string // "vxlan", "veth", …; "" for hardware
	Flags    uint32
	MTU      int
	MAC      overlay.MAC
	SpeaksLL bool // generates a link-local address
	VXLAN    VXLANInfo
}

// Up reports whether the device is set up.
func (l *Link) Up() bool { return l.Flags&unix.IFF_UP != 0 }

// VXLANInfo is the configuration of a VXLAN device.
type VXLANInfo struct {
	VNI      uint32
	Port     uint16
	Local    netip.Addr
	Learning bool
	Lower    bool // has a lower link, and is deleted with it
	// Odd means that the device has a setting that fairlead never makes and that cannot
	// be changed: a default destination, metadata mode or an extension.
	Odd bool
}

// addrGenMode is how a device generates its link-local address.
const (
	addrGenMode     = unix.IFLA_INET6_ADDR_GEN_MODE
	addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
)

func decodeLink(b []byte) (l Link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index, l.Flags = int32(nl.U32(b[4:])), nl.U32(b[8:])
	for kind, v := range nl.Attrs(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = nl.String(v)
		case unix.IFLA_IFALIAS:
			l.Alias = nl.String(v)
		case unix.IFLA_MTU:
			l.MTU = int(nl.U32(v))
		case unix.IFLA_ADDRESS:
			if len(v) == len(l.MAC) {
				copy(l.MAC[:], v)
			}
		case unix.IFLA_AF_SPEC:
			l.decodeFamilies(v)
		case unix.IFLA_LINKINFO:
			l.decodeInfo(v)
		}
	}
	return l, l.Name != ""
}

func (l *Link) decodeFamilies(b []byte) {
	for family, v := range nl.Attrs(b) {
		if family != unix.AF_INET6 {
			continue
		}
		for kind, v := range nl.Attrs(v) {
			if kind == addrGenMode {
				l.SpeaksLL = nl.U8(v) != addrGenModeNone
			}
		}
	}
}

func (l *Link) decodeInfo(b []byte) {
	var data []byte
	for kind, v := range nl.Attrs(b) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			l.Kind = nl.String(v)
		case unix.IFLA_INFO_DATA:
			data = v
		}
	}
	if l.Kind == "vxlan" {
		l.VXLAN = decodeVXLAN(data)
	}
}

func decodeVXLAN(b []byte) (x VXLANInfo) {
	for kind, v := range nl.Attrs(b) {
		switch kind {
		case unix.IFLA_VXLAN_ID:
			x.VNI = nl.U32(v)
		case unix.IFLA_VXLAN_PORT:
			x.Port = nl.BE16(v)
		case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
			x.Local, _ = netip.AddrFromSlice(v)
		case unix.IFLA_VXLAN_LEARNING:
			x.Learning = nl.U8(v) != 0
		case unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6, unix.IFLA_VXLAN_GBP, unix.IFLA_VXLAN_GPE:
			x.Odd = true
		case unix.IFLA_VXLAN_LINK:
			x.Lower = nl.U32(v) != 0
		case unix.IFLA_VXLAN_COLLECT_METADATA, unix.IFLA_VXLAN_PROXY, unix.IFLA_VXLAN_RSC, unix.IFLA_VXLAN_L2MISS, unix.IFLA_VXLAN_L3MISS:
			x.Odd = x.Odd || nl.U8(v) != 0
		}
	}
	return x
}
