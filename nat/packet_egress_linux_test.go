// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat"
)

// TestPacketEgress changes the settings live and looks whose address is seen:
// that of the pod, or that of its node.
func TestPacketEgress(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.state.SetNodes(append(b.node.Addrs(), b.other.Addrs()...))
	all := nat.Egress{Sources: b.node.PodCIDRs}
	with := func(change func(*nat.Egress)) nat.Egress {
		e := all
		change(&e)
		return e
	}
	for _, step := range []struct {
		name   string
		egress nat.Egress
		// client to the outside, web to the outside, client to node-2, client to
		// the pod there
		want [4]string
	}{
		{"none", nat.Egress{}, [4]string{"pod", "pod", "pod", "pod"}},
		{"all pods", all, [4]string{"node", "node", "node", "pod"}},
		{"one pod", nat.Egress{Sources: singles(b.client.Addrs()...)}, [4]string{"node", "pod", "node", "pod"}},
		{"keep", with(func(e *nat.Egress) { e.Keep = singles(b.Outside.Addrs()...) }), [4]string{"pod", "pod", "node", "pod"}},
		{"keep nodes", with(func(e *nat.Egress) { e.KeepNodes = true }), [4]string{"node", "node", "pod", "pod"}},
		{"keep others", with(func(e *nat.Egress) {
			e.Keep = []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25"), netip.MustParsePrefix("2001:db8:100:8000::/65")}
		}), [4]string{"node", "node", "node", "pod"}},
		{"none again", nat.Egress{}, [4]string{"pod", "pod", "pod", "pod"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			set := b.settings()
			set.Egress = step.egress
			b.configure(t, set)
			eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
				t.Helper()
				for i, try := range []struct {
					from *lab.Pod
					to   *lab.Host
					port uint16
				}{
					{b.client, b.Outside, hostPort}, {b.web, b.Outside, hostPort},
					{b.client, b.other.Host, hostPort}, {b.client, b.there.Host, podPort},
				} {
					saw := map[string]netip.Addr{"pod": try.from.Addrs()[family], "node": b.node.Addrs()[family]}[step.want[i]]
					expect(t, try.from.Host, netip.Addr{}, at(try.to.Addrs()[family], try.port, proto), try.to.Name+" saw "+saw.String())
				}
			})
		})
	}
}

// TestPacketEgressService has a connection leave the cluster through a Service.
// Whoever decides first, it is translated once.
func TestPacketEgressService(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	b.configure(t, set)
	vips := [2]netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:113::1")}
	const masquerades, keeps, inside, hairpin = 1, 2, 3, 4
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		vip := vips[family]
		outside := netip.AddrPortFrom(b.Outside.Addrs()[family], hostPort)
		b.serve(t, nat.External, at(vip, masquerades, proto), outside, false)
		b.serve(t, nat.Internal, at(vip, keeps, proto), outside, false)
		b.serve(t, nat.Internal, at(vip, inside, proto), netip.AddrPortFrom(b.there.Addrs()[family], podPort), false)
		b.serve(t, nat.Internal, at(vip, hairpin, proto), netip.AddrPortFrom(b.web.Addrs()[family], podPort), true)
		node := b.node.Addrs()[family].String()
		expect(t, b.client.Host, netip.Addr{}, at(vip, masquerades, proto), "outside saw "+node)
		expect(t, b.client.Host, netip.Addr{}, at(vip, keeps, proto), "outside saw "+node)
		expect(t, b.client.Host, netip.Addr{}, at(vip, inside, proto), "there saw "+b.client.Addrs()[family].String())
		expect(t, b.web.Host, netip.Addr{}, at(vip, hairpin, proto), "web saw "+b.gateway(family).String())
	})
}

// TestPacketEgressPorts expects ports that cannot be told in advance. A plain
// masquerade would keep the pod's.
func TestPacketEgressPorts(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	b.configure(t, set)
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		const tries = 8
		kept := 0
		for range tries {
			c := open(t, b.client.Host, at(b.Outside.Addrs()[family], hostPort, proto))
			if c.Source().Port() == c.Reply.Source.Port() {
				kept++
			}
			check(t, c.Close())
		}
		if kept > 1 { // by chance once in some 60,000 times
			t.Errorf("%d of %d connections kept their port", kept, tries)
		}
	})
}

// TestPacketEgressMulticast sends from an address that is masqueraded, which is
// the node's own towards its pods, to everybody on the underlay.
func TestPacketEgressMulticast(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	b.configure(t, set)
	groups := [2][]netip.Addr{
		{netip.MustParseAddr("239.1.2.3"), netip.MustParseAddr("255.255.255.255")},
		{netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff05::1:3")},
	}
	for family, name := range ipFamilies {
		t.Run(name, func(t *testing.T) {
			gateway := b.gateway(family)
			expect(t, b.node.Host, gateway, at(b.Outside.Addrs()[family], hostPort, inet.UDP), "outside saw "+b.node.Addrs()[family].String())
			ear := listen(t, b.other.Host, family, 5353)
			mouth := speak(t, b.node.Host, gateway)
			check(t, mouth.via(b.node.NS, "eth0"))
			for _, group := range groups[family] {
				if group.IsMulticast() {
					check(t, ear.join(b.other.NS, "eth0", group))
				}
				got := ear.deliver(t, group.String(), func() error { return mouth.send(netip.AddrPortFrom(group, 5353), group.String()) })
				if got.Addr() != gateway {
					t.Errorf("to %s: seen as %s, want %s", group, got.Addr(), gateway)
				}
			}
		})
	}
}
