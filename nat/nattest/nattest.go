// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nattest holds frontends and settings that the tests of nat's packages
// share.
package nattest

import (
	"net/netip"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// CountingSettings returns Settings with a counter on each backend.
func CountingSettings() nat.Settings {
	set := Settings()
	set.BackendCounters = true
	return set
}

// Addr parses "address:port" and panics if it is none.
func Addr(s string, p inet.Proto) inet.Addr {
	ap := netip.MustParseAddrPort(s)
	return inet.Addr{IP: ap.Addr(), Port: ap.Port(), Proto: p}
}

// Backends parses "address:port" each and panics if one is none.
func Backends(addrs ...string) []nat.Backend {
	var out []nat.Backend
	for _, a := range addrs {
		out = append(out, nat.BackendAt(netip.MustParseAddrPort(a), false))
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

// Prefixes parses CIDRs and panics if one is none.
func Prefixes(ps ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// Settings returns settings in which every part of the table is in use.
func Settings() nat.Settings {
	return nat.Settings{
		Pods:          nat.PodMatch{CIDRs: Prefixes("10.244.0.0/16", "fd00:10:244::/56")},
		NodePortAddrs: Prefixes("0.0.0.0/0", "::/0"),
		Loopback:      true, CheckedInterfaces: []string{"veth*", "cni0"},
		ServiceCIDRs: Prefixes("10.96.0.0/16", "fd00:10:96::/112"),
		Cluster:      Prefixes("10.244.0.0/16", "fd00:10:244::/56"),
		Egress: nat.Egress{
			Sources: Prefixes("10.244.0.0/24", "fd00:10:244::/64"),
			Keep:    Prefixes("169.254.0.0/16"), KeepNodes: true,
		},
		Tunnels: nat.Tunnels{
			Port: 8472, PodInterfaces: []string{"veth*", "cni0"}, ReplyMark: 0x2000, KeepSource: true,
			Addrs: []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("2001:db8::1")},
		},
	}
}

// Variety sets one frontend of every shape.
func Variety(s interface {
	Set(key inet.Addr, f nat.Frontend)
	SetNodes(ips []netip.Addr)
	ChangeGateways(changed []nat.Gateway)
	SetHostPorts(ports []nat.HostPort)
}) {
	s.SetNodes([]netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("2001:db8::1")})
	s.ChangeGateways([]nat.Gateway{
		{Node: netip.MustParseAddr("192.168.0.2"), Address: netip.MustParseAddr("10.244.2.0")},
		{Node: netip.MustParseAddr("2001:db8::1"), Address: netip.MustParseAddr("fd00:10:244:2::")},
	})
	s.SetHostPorts([]nat.HostPort{
		{Addr: Addr("0.0.0.0:8080", inet.TCP), Pod: netip.MustParseAddrPort("10.244.0.3:80"), Owner: "default/web-0"},
		{Addr: Addr("192.168.0.1:53", inet.UDP), Pod: netip.MustParseAddrPort("10.244.0.4:53"), Owner: "default/dns"},
		{Addr: Addr("[::]:8080", inet.TCP), Pod: netip.MustParseAddrPort("[fd00:10:244::3]:80"), Owner: "default/web-0"},
	})
	s.Set(Addr("192.0.2.44:80", inet.TCP), nat.Frontend{Policy: nat.External, Owner: "default/outside", Backends: Backends("198.51.100.9:80")})
	s.Set(Addr("10.96.0.10:53", inet.UDP), nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "kube-system/kube-dns:dns",
		Backends: []nat.Backend{nat.BackendAt(netip.MustParseAddrPort("10.244.0.3:53"), true), nat.BackendAt(netip.MustParseAddrPort("10.244.1.7:53"), false)}})
	s.Set(Addr("10.96.0.11:80", inet.TCP), nat.Frontend{Policy: nat.Reject, Exclusive: true, Owner: "default/empty"})
	s.Set(Addr("10.96.0.12:80", inet.SCTP), nat.Frontend{Policy: nat.Drop, Exclusive: true, Owner: "default/elsewhere"})
	s.Set(Addr("203.0.113.5:443", inet.TCP), nat.Frontend{Policy: nat.Local, Owner: "default/web:https", Restricted: true,
		Sources: Prefixes("192.0.2.0/24", "198.51.100.7/32"), Affinity: 3 * time.Hour,
		Backends: Backends("10.244.0.3:8443", "10.244.1.3:8443", "10.244.2.3:8443"), LocalBackends: addrPorts("10.244.0.3:8443")})
	s.Set(Addr("203.0.113.6:443", inet.TCP), nat.Frontend{Policy: nat.Reject, Owner: "default/web:https", Restricted: true, Sources: Prefixes("192.0.2.0/24")})
	s.Set(Addr("[fd00:10:96::a]:53", inet.UDP), nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "kube-system/kube-dns:dns",
		Affinity: 90 * time.Second,
		Backends: []nat.Backend{nat.BackendAt(netip.MustParseAddrPort("[fd00:10:244::3]:53"), true)}})
	s.Set(Addr("[2001:db8::5]:443", inet.TCP), nat.Frontend{Policy: nat.External, Restricted: true, Sources: Prefixes("2001:db8:1::/64"), Owner: "default/web:https",
		Backends: Backends("[fd00:10:244::3]:8443", "[fd00:10:244::4]:8443")})
	s.Set(Addr("0.0.0.0:30080", inet.TCP), nat.Frontend{Policy: nat.External, Owner: "default/web:http", Affinity: time.Minute,
		Backends: Backends("10.244.0.3:8080", "10.244.1.3:8080")})
	s.Set(Addr("[::]:30080", inet.TCP), nat.Frontend{Policy: nat.Local, Owner: "default/web:http", Affinity: time.Minute,
		Backends: Backends("[fd00:10:244::3]:8080"), LocalBackends: nil})
}

// Pods returns n backends: 10.244.0.1:80 and so on.
func Pods(n int) []nat.Backend {
	out := make([]nat.Backend, n)
	ip := netip.MustParseAddr("10.244.0.0")
	for i := range out {
		ip = ip.Next()
		out[i] = nat.BackendAt(netip.AddrPortFrom(ip, 80), false)
	}
	return out
}
