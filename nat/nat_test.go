// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func addr(s string, p inet.Proto) inet.Addr {
	ap := netip.MustParseAddrPort(s)
	return inet.Addr{IP: ap.Addr(), Port: ap.Port(), Proto: p}
}

func backends(addrs ...string) []Backend {
	var out []Backend
	for _, a := range addrs {
		out = append(out, Backend{AddrPort: netip.MustParseAddrPort(a)})
	}
	return out
}

func addrPorts(addrs ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		out = append(out, netip.MustParseAddrPort(a))
	}
	return out
}

func prefixes(ps ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func testSettings() Settings {
	return Settings{
		Pods:          PodMatch{CIDRs: prefixes("10.244.0.0/16", "fd00:10:244::/56")},
		NodePortAddrs: prefixes("0.0.0.0/0", "::/0"),
		ServiceCIDRs:  prefixes("10.96.0.0/16", "fd00:10:96::/112"),
		Cluster:       prefixes("10.244.0.0/16", "fd00:10:244::/56"),
		Egress: Egress{
			Sources: prefixes("10.244.0.0/24", "fd00:10:244::/64"),
			Keep:    prefixes("169.254.0.0/16"), KeepNodes: true,
		},
		Tunnels: Tunnels{
			Port: 8472, PodInterfaces: []string{"veth*", "cni0"},
			Addrs: []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("2001:db8::1")},
		},
	}
}

// variety sets one frontend of every shape.
func variety(s *State) {
	s.SetNodes([]netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("2001:db8::1")})
	s.SetHostPorts([]HostPort{
		{Addr: addr("0.0.0.0:8080", inet.TCP), Pod: netip.MustParseAddrPort("10.244.0.3:80"), Owner: "default/web-0"},
		{Addr: addr("192.168.0.1:53", inet.UDP), Pod: netip.MustParseAddrPort("10.244.0.4:53"), Owner: "default/dns"},
		{Addr: addr("[::]:8080", inet.TCP), Pod: netip.MustParseAddrPort("[fd00:10:244::3]:80"), Owner: "default/web-0"},
	})
	s.Set(addr("192.0.2.44:80", inet.TCP), Frontend{Policy: External, Owner: "default/outside", Backends: backends("198.51.100.9:80")})
	s.Set(addr("10.96.0.10:53", inet.UDP), Frontend{Policy: Internal, Exclusive: true, Owner: "kube-system/kube-dns:dns",
		Backends: []Backend{{AddrPort: netip.MustParseAddrPort("10.244.0.3:53"), OnNode: true}, {AddrPort: netip.MustParseAddrPort("10.244.1.7:53")}}})
	s.Set(addr("10.96.0.11:80", inet.TCP), Frontend{Policy: Reject, Exclusive: true, Owner: "default/empty"})
	s.Set(addr("10.96.0.12:80", inet.SCTP), Frontend{Policy: Drop, Exclusive: true, Owner: "default/elsewhere"})
	s.Set(addr("203.0.113.5:443", inet.TCP), Frontend{Policy: Local, Owner: "default/web:https", Restricted: true,
		Sources: prefixes("192.0.2.0/24", "198.51.100.7/32"), Affinity: 3 * time.Hour,
		Backends: backends("10.244.0.3:8443", "10.244.1.3:8443", "10.244.2.3:8443"), LocalBackends: addrPorts("10.244.0.3:8443")})
	s.Set(addr("203.0.113.6:443", inet.TCP), Frontend{Policy: Reject, Owner: "default/web:https", Restricted: true, Sources: prefixes("192.0.2.0/24")})
	s.Set(addr("[fd00:10:96::a]:53", inet.UDP), Frontend{Policy: Internal, Exclusive: true, Owner: "kube-system/kube-dns:dns",
		Affinity: 90 * time.Second,
		Backends: []Backend{{AddrPort: netip.MustParseAddrPort("[fd00:10:244::3]:53"), OnNode: true}}})
	s.Set(addr("[2001:db8::5]:443", inet.TCP), Frontend{Policy: External, Restricted: true, Sources: prefixes("2001:db8:1::/64"), Owner: "default/web:https",
		Backends: backends("[fd00:10:244::3]:8443", "[fd00:10:244::4]:8443")})
	s.Set(addr("0.0.0.0:30080", inet.TCP), Frontend{Policy: External, Owner: "default/web:http", Affinity: time.Minute,
		Backends: backends("10.244.0.3:8080", "10.244.1.3:8080")})
	s.Set(addr("[::]:30080", inet.TCP), Frontend{Policy: Local, Owner: "default/web:http", Affinity: time.Minute,
		Backends: backends("[fd00:10:244::3]:8080"), LocalBackends: nil})
}

// open opens the table in a namespace, for as long as the test runs.
func open(t testing.TB, ns *netns.NS) *Table {
	t.Helper()
	table, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// settle commits batches until nothing is pending and returns how many.
func settle(t testing.TB, s *State, table *Table) int {
	t.Helper()
	n := 0
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if err := table.Commit(t.Context(), b); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		s.Acked(b)
		n++
	}
	return n
}

// list returns what nft lists, with nothing on stderr and exit code 0.
func list(t testing.TB, ns *netns.NS) string {
	t.Helper()
	cmd := nstest.Command(t, ns, "nft", "list", "table", "inet", TableName)
	var stderr textBuffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("nft list table: %v, stderr %q", err, stderr.String())
	}
	return string(out)
}
