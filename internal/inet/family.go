// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import "net/netip"

// Family is an IP version. It indexes arrays of two.
type Family uint8

// The families, in the order in which they are planned and printed.
const (
	IPv4 Family = iota
	IPv6
)

// Families returns both families, for loops.
func Families() [2]Family { return [2]Family{IPv4, IPv6} }

// FamilyOf returns the family of an address. An IPv4-mapped IPv6 address is IPv6.
func FamilyOf(ip netip.Addr) Family {
	if ip.Is4() {
		return IPv4
	}
	return IPv6
}

// String returns the family's usual name.
func (f Family) String() string {
	if f == IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// Other returns the other family.
func (f Family) Other() Family { return 1 - f }

// Digit returns '4' or '6', the ending of names that exist once for each family.
func (f Family) Digit() byte {
	if f == IPv4 {
		return '4'
	}
	return '6'
}

// AddrLen returns the length of an address in bytes.
func (f Family) AddrLen() int {
	if f == IPv4 {
		return 4
	}
	return 16
}

// Unspecified returns 0.0.0.0 or ::.
func (f Family) Unspecified() netip.Addr {
	if f == IPv4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// FamilyOfDigit is the inverse of Digit; every byte but '6' is IPv4.
func FamilyOfDigit(b byte) Family {
	if b == '6' {
		return IPv6
	}
	return IPv4
}
