// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
)

// addresses replaces addresses so that two of them have exactly as many leading bits in
// common as their pseudonyms (Crypto-PAn: Xu et al., "Prefix-Preserving IP Address
// Anonymization", 2002). Ranges with a meaning of their own, such as 10.0.0.0/8 and
// fe80::/64, stay what they are, and an address in them always changes. Beneath a known
// range the first and the last addresses stay the first and the last.
type addresses struct {
	kept, open, all []netip.Prefix // see ranges
	block           cipher.Block
	known           map[netip.Prefix]struct{}     // ranges that objects and routes name
	memo            map[netip.Addr]netip.Addr     // pseudonyms of the present key
	seen            map[netip.Addr]struct{}       // originals
	macs            map[string]net.HardwareAddr   // originals and pseudonyms, by the original
	done            map[netip.Prefix]netip.Prefix // likewise
}

// ranges have a meaning of their own.
func ranges() (kept, open []netip.Prefix) {
	parse := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	return parse("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "ff00::/8"),
		// Solicited-node multicast (RFC 4291) ends with the last bits of an address.
		parse("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
			"2000::/3", "fc00::/8", "fd00::/8", "fe80::/64", "ff02::1:ff00:0/104", "64:ff9b::/96")
}

func newAddresses(key []byte) *addresses {
	a := &addresses{known: map[netip.Prefix]struct{}{}, seen: map[netip.Addr]struct{}{}, macs: map[string]net.HardwareAddr{}}
	a.kept, a.open = ranges()
	a.all = slices.Concat(a.kept, a.open)
	a.rekey(key)
	return a
}

// rekey forgets the pseudonyms and makes others. The key has KeySize bytes.
func (a *addresses) rekey(key []byte) {
	a.block, _ = aes.NewCipher(key) // it fails for other lengths only
	a.memo, a.done = map[netip.Addr]netip.Addr{}, map[netip.Prefix]netip.Prefix{}
}

// learn notes an address that occurs.
func (a *addresses) learn(ip netip.Addr) {
	if ip.IsValid() {
		a.seen[ip.Unmap().WithZone("")] = struct{}{}
	}
}

// learnRange notes a range that occurs.
func (a *addresses) learnRange(p netip.Prefix) {
	if p.IsValid() {
		a.learn(p.Addr())
		a.known[p.Masked()] = struct{}{}
	}
}

// collides reports whether a pseudonym is an original, too, which would look like a leak.
func (a *addresses) collides() bool {
	for ip := range a.seen {
		if p := netip.PrefixFrom(ip, ip.BitLen()); within(p, a.kept) && !within(p, a.open) {
			continue
		}
		if _, is := a.seen[a.of(ip)]; is {
			return true
		}
	}
	return false
}

// of returns the pseudonym of an address.
func (a *addresses) of(ip netip.Addr) netip.Addr {
	if !ip.IsValid() {
		return ip
	}
	if ip.Is4In6() {
		return netip.AddrFrom16(a.of(ip.Unmap()).As16()).WithZone(ip.Zone())
	}
	zone := ip.Zone()
	ip = ip.WithZone("")
	out, ok := a.memo[ip]
	if !ok {
		out = a.compute(ip)
		a.memo[ip] = out
	}
	return out.WithZone(zone)
}

// ofRange returns the pseudonym of a range, or of an address with the length of its range.
func (a *addresses) ofRange(p netip.Prefix) netip.Prefix {
	if !p.IsValid() {
		return p
	}
	out := netip.PrefixFrom(a.of(p.Addr()), p.Bits())
	if p.Addr() == p.Masked().Addr() {
		out = out.Masked()
	}
	a.done[p] = out
	return out
}

func (a *addresses) compute(ip netip.Addr) netip.Addr {
	raw := ip.AsSlice()
	out := slices.Clone(raw)
	zeros, ones := false, false // the bits beneath a known range are all zero, or all one
	for i := range ip.BitLen() {
		node := netip.PrefixFrom(ip, i).Masked()
		if _, ok := a.known[node]; ok {
			zeros, ones = true, true
		}
		if a.flips(node) && (isRange(node, a.open) || !zeros && !ones) {
			out[i/8] ^= 0x80 >> (i % 8)
		}
		one := raw[i/8]&(0x80>>(i%8)) != 0
		zeros, ones = zeros && !one, ones && one
	}
	result, _ := netip.AddrFromSlice(out)
	return result
}

// flips reports whether the bit that follows a prefix changes.
func (a *addresses) flips(node netip.Prefix) bool {
	for _, r := range a.all {
		switch {
		case r.Addr().BitLen() != node.Addr().BitLen():
		case r.Bits() > node.Bits() && node.Contains(r.Addr()): // a range begins deeper
			return false
		case r.Bits() <= node.Bits() && r.Contains(node.Addr()) && !within(node, a.open):
			return false
		}
	}
	return isRange(node, a.open) || a.random(node.Addr(), node.Bits())[0]&1 != 0
}

func within(node netip.Prefix, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(r netip.Prefix) bool { return r.Bits() <= node.Bits() && r.Contains(node.Addr()) })
}

func isRange(node netip.Prefix, list []netip.Prefix) bool { return slices.Contains(list, node) }

// random returns bytes that depend on an address, a number and the key: a CBC-MAC of two
// blocks.
func (a *addresses) random(ip netip.Addr, n int) [aes.BlockSize]byte {
	block := ip.As16()
	a.block.Encrypt(block[:], block[:])
	var second [aes.BlockSize]byte
	binary.BigEndian.PutUint32(second[:], uint32(n))
	second[4] = byte(ip.BitLen())
	for i := range block {
		block[i] ^= second[i]
	}
	a.block.Encrypt(block[:], block[:])
	return block
}

// mac returns the pseudonym of the address of a device. That of a group keeps its kind.
func (a *addresses) mac(m net.HardwareAddr) net.HardwareAddr {
	if len(m) != 6 || slices.Equal(m, make(net.HardwareAddr, 6)) || slices.Equal(m, net.HardwareAddr{255, 255, 255, 255, 255, 255}) {
		return m
	}
	if out, ok := a.macs[m.String()]; ok {
		return out
	}
	var in [16]byte
	copy(in[:], m)
	random := a.random(netip.AddrFrom16(in), 1000)
	out := slices.Clone(m)
	keep := 0
	switch {
	case m[0] == 0x33 && m[1] == 0x33: // IPv6 multicast
		keep = 2
	case m[0] == 1 && m[1] == 0 && m[2] == 0x5e: // IPv4 multicast
		keep = 3
	}
	copy(out[keep:], random[:])
	if keep == 0 {
		out[0] = out[0]&^3 | 2 // an address that an administrator gave to one device
	}
	a.macs[m.String()] = out
	return out
}
