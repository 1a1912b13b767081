// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

func testWords(t *testing.T, seed byte) *words {
	t.Helper()
	o := Options{Addresses: true, Names: true}
	o.Key[0] = seed
	return newWords(o)
}

// common returns how many leading bits two addresses of a family have in common.
func common(a, b netip.Addr) int {
	for n := a.BitLen(); n > 0; n-- {
		if netip.PrefixFrom(a, n).Masked() == netip.PrefixFrom(b, n).Masked() {
			return n
		}
	}
	return 0
}

// TestPrefixes draws pairs of addresses, near and far: their pseudonyms have as many bits
// in common, whatever the key and the ranges that are known.
func TestPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	near := []string{"10.244.1.0/24", "10.96.0.0/12", "192.168.0.0/24", "172.18.0.0/16", "203.0.113.0/24", "8.8.8.0/24", "169.254.0.0/16", "fd00:10:244::/48", "fe80::/64", "2001:db8::/32", "ff02::1:ff00:0/104", "64:ff9b::/96", "0.0.0.0/0", "::/0"}
	for seed := range byte(8) {
		a := testWords(t, seed).addresses
		for _, s := range near {
			if seed%2 == 0 {
				a.learnRange(netip.MustParsePrefix(s))
			}
		}
		draw := func(p netip.Prefix) netip.Addr {
			b := p.Addr().AsSlice()
			for i := range b {
				for bit := range 8 {
					if 8*i+bit >= p.Bits() && r.IntN(3) > 0 {
						b[i] ^= byte(r.IntN(2)) << (7 - bit)
					}
				}
			}
			ip, _ := netip.AddrFromSlice(b)
			return ip
		}
		for range 3000 {
			p, q := netip.MustParsePrefix(near[r.IntN(len(near))]), netip.MustParsePrefix(near[r.IntN(len(near))])
			x, y := draw(p), draw(q)
			if x.BitLen() != y.BitLen() {
				y = draw(p)
			}
			if want, got := common(x, y), common(a.of(x), a.of(y)); got != want {
				t.Fatalf("%s and %s have %d bits in common, %s and %s %d", x, y, want, a.of(x), a.of(y), got)
			}
		}
	}
}

// TestRanges: addresses change, and stay in a range with a meaning of its own. Those that
// are the same everywhere stay, as do the ends of a known range.
func TestRanges(t *testing.T) {
	for seed := range byte(20) {
		a := testWords(t, seed).addresses
		a.learnRange(netip.MustParsePrefix("10.244.1.0/24"))
		for s, in := range map[string]string{
			"10.0.0.1": "10.0.0.0/8", "10.244.1.1": "10.0.0.0/8", "192.168.0.1": "192.168.0.0/16", "172.16.0.0": "172.16.0.0/12", "100.64.1.1": "100.64.0.0/10",
			"169.254.169.254": "169.254.0.0/16", "8.8.8.8": "8.0.0.0/7", "203.0.113.1": "0.0.0.0/0", "fd00::1": "fd00::/8", "fe80::1": "fe80::/64", "2001:db8::1": "2000::/3", "ff02::1:ff00:1": "ff02::1:ff00:0/104",
		} {
			ip := netip.MustParseAddr(s)
			if got := a.of(ip); got == ip || !netip.MustParsePrefix(in).Contains(got) {
				t.Errorf("%s becomes %s, want another one of %s", s, got, in)
			}
			if mapped := netip.AddrFrom16(ip.As16()); ip.Is4() && a.of(mapped) != netip.AddrFrom16(a.of(ip).As16()) {
				t.Errorf("%s becomes %s", mapped, a.of(mapped))
			}
		}
		for _, s := range []string{"0.0.0.0", "127.0.0.1", "224.0.0.18", "255.255.255.255", "::", "::1", "ff02::1"} {
			if got := a.of(netip.MustParseAddr(s)); got.String() != s {
				t.Errorf("%s becomes %s", s, got)
			}
		}
		for _, s := range []string{"10.0.0.0/8", "0.0.0.0/0", "::/0"} {
			if got := a.ofRange(netip.MustParsePrefix(s)); got.String() != s {
				t.Errorf("%s becomes %s", s, got)
			}
		}
		for s, last := range map[string]byte{"10.244.1.0": 0, "10.244.1.1": 1, "10.244.1.254": 254, "10.244.1.255": 255} {
			if got := a.of(netip.MustParseAddr(s)).As4()[3]; got != last {
				t.Errorf("%s of a known range ends with %d", s, got)
			}
		}
		if got := a.ofRange(netip.MustParsePrefix("10.244.1.7/24")); got.Addr() != a.of(netip.MustParseAddr("10.244.1.7")) || got.Bits() != 24 {
			t.Errorf("10.244.1.7/24 becomes %s", got)
		}
	}
}

// TestMAC: devices get another address, and groups stay groups.
func TestMAC(t *testing.T) {
	a := testWords(t, 1).addresses
	seen := map[string]bool{}
	for s, prefix := range map[string]string{
		"00:00:00:00:00:00": "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff": "ff:ff:ff:ff:ff:ff", "33:33:ff:00:00:01": "33:33:", "01:00:5e:00:00:fb": "01:00:5e:", "52:54:00:12:34:56": "", "52:54:00:12:34:57": "",
	} {
		m, _ := net.ParseMAC(s)
		out := a.mac(m).String()
		if out[:len(prefix)] != prefix || (out == s) != (len(prefix) == 17) || seen[out] || len(prefix) == 0 && a.mac(m)[0]&3 != 2 {
			t.Errorf("%s becomes %s", s, out)
		}
		seen[out] = true
	}
}

// BenchmarkAddresses is what one address costs.
func BenchmarkAddresses(b *testing.B) {
	for name, first := range map[string]string{"ipv4": "10.244.0.0", "ipv6": "fd00:10:244::"} {
		b.Run(name, func(b *testing.B) {
			a := newAddresses(make([]byte, KeySize))
			ip := netip.MustParseAddr(first)
			for b.Loop() {
				a.of(ip)
				ip = ip.Next()
			}
		})
	}
}
