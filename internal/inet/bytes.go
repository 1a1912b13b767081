// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import "net/netip"

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

// IsValid reports whether there is an address.
func (b Bytes) IsValid() bool { return b.size > 0 }
