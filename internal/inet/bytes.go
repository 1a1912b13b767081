// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
)

// Bytes is an address in 17 bytes without a pointer, where a netip.Addr takes 24: for what there
// is of each endpoint. A zone is left out. Bytes of equal addresses are equal, and the zero
// value is no address.
type Bytes struct {
	ip   [16]byte // of which an IPv4 address takes the first four
	size uint8    // of the address, 0 for none
}

// BytesOf returns the bytes of an address.
func BytesOf(ip netip.Addr) (b Bytes) {
	switch {
	case ip.Is4():
		b.size = 4
		*(*[4]byte)(b.ip[:]) = ip.As4()
	case ip.IsValid():
		b.size, b.ip = 16, ip.As16()
	}
	return b
}

// Addr is the opposite of BytesOf.
func (b Bytes) Addr() netip.Addr {
	switch b.size {
	case 4:
		return netip.AddrFrom4([4]byte(b.ip[:4]))
	case 16:
		return netip.AddrFrom16(b.ip)
	}
	return netip.Addr{}
}

// Compare orders as netip.Addr.Compare does.
func (b *Bytes) Compare(c *Bytes) int {
	if b.size != c.size {
		return cmp.Compare(b.size, c.size)
	}
	return bytes.Compare(b.ip[:], c.ip[:])
}

// Number4 returns an IPv4 address as a number, false for all others.
func (b *Bytes) Number4() (uint32, bool) { return binary.BigEndian.Uint32(b.ip[:4]), b.size == 4 }

// Low returns the last two bytes of the address, in which addresses of one cluster differ most.
func (b *Bytes) Low() uint16 {
	if b.size == 4 {
		return binary.BigEndian.Uint16(b.ip[2:])
	}
	return binary.BigEndian.Uint16(b.ip[14:])
}

// Is reports whether there is an address of a family.
func (b *Bytes) Is(f Family) bool { return int(b.size) == f.AddrLen() }

// IsValid reports whether there is an address.
func (b Bytes) IsValid() bool { return b.size > 0 }
