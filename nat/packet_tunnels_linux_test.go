// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/lab"
	"fairlead/nat"
	"fairlead/nat/plan"
)

// TestPacketTunnelsUntracked lets nodes talk. The control packets show that
// others would be tracked.
func TestPacketTunnelsUntracked(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, lab.PTP, "veth*")
	var want []string
	for family := range ipFamilies {
		here, there := b.node.Addrs()[family], b.other.Addrs()[family]
		b.expect(t, b.other.Host, there, here, b.node.Host, there.String())
		b.expect(t, b.node.Host, here, there, b.other.Host, here.String())
		want = append(want, here.String()+" > "+there.String(), there.String()+" > "+here.String())
	}
	b.expectFlows(t, vxlan)
	b.expectFlows(t, control, want...)

	b.set.Tunnels = nat.Tunnels{}
	b.configure(t, b.set)
	want = nil
	for family := range ipFamilies {
		here, stranger := b.node.Addrs()[family], b.Outside.Addrs()[family]
		b.expect(t, b.Outside, stranger, here, b.node.Host, stranger.String())
		want = append(want, stranger.String()+" > "+here.String())
	}
	b.expectFlows(t, vxlan, want...)
}

// TestPacketTunnelsGuarded lets pods and strangers try. A pod's packet to
// another node would get the address of its own node there.
func TestPacketTunnelsGuarded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		link         lab.PodLink
		podInterface string
	}{"ptp": {lab.PTP, "veth*"}, "bridge": {lab.Bridge, "cni0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTunnels(t, tt.link, tt.podInterface)
			// The pod pretends to be a third node.
			third := [2]netip.Addr{netip.MustParseAddr("192.168.50.3"), netip.MustParseAddr("fd00:50::3")}
			b.state.SetNodes(slices.Concat(b.node.Addrs(), b.other.Addrs(), third[:]))
			b.commit(t)
			for _, ip := range third {
				check(t, b.client.AddAddr("lo", single(ip)))
			}
			for family := range ipFamilies {
				here, there := b.node.Addrs()[family], b.other.Addrs()[family]
				pod, stranger := b.client.Addrs()[family], b.Outside.Addrs()[family]
				// Whoever listens on all addresses listens on these, too.
				for _, dst := range []netip.Addr{here, second[family], b.gateway(family)} {
					b.expect(t, b.client.Host, pod, dst, b.node.Host, "dropped")
					b.expect(t, b.client.Host, third[family], dst, b.node.Host, "dropped")
				}
				b.expect(t, b.client.Host, pod, there, b.other.Host, "dropped")
				b.expect(t, b.client.Host, third[family], there, b.other.Host, "dropped")
				b.expect(t, b.Outside, stranger, here, b.node.Host, "dropped")
				b.expect(t, b.Outside, stranger, second[family], b.node.Host, "dropped")
				b.expect(t, b.there.Host, b.there.Addrs()[family], here, b.node.Host, "dropped")
			}
			b.expectFlows(t, vxlan)

			// Without names of interfaces only their address gives pods away.
			b.set.Tunnels.PodInterfaces = nil
			b.configure(t, b.set)
			for family := range ipFamilies {
				b.expect(t, b.client.Host, b.client.Addrs()[family], b.other.Addrs()[family], b.other.Host, "dropped")
				b.expect(t, b.client.Host, third[family], b.node.Addrs()[family], b.node.Host, third[family].String())
			}
		})
	}
}

// TestPacketTunnelsBroadcast has a pod send to everybody on its link, of whom
// the node is one.
func TestPacketTunnelsBroadcast(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, lab.Bridge, "cni0")
	groups := [2]netip.Addr{netip.MustParseAddr("10.244.1.255"), netip.MustParseAddr("ff02::1")}
	for family := range ipFamilies {
		mouth := speak(t, b.client.Host, b.client.Addrs()[family])
		check(t, mouth.via(b.client.NS, "eth0"))
		b.ears[ear{b.node.Host, family, control}].deliver(t, "all", func() error { return mouth.sendBoth(groups[family], "all") })
		if src, ok := b.ears[ear{b.node.Host, family, vxlan}].take(t, "all"); ok {
			t.Errorf("to %s: arrived from %s, want dropped", groups[family], src)
		}
	}
}

// TestPacketTunnelsOfOthers leaves alone what is not between nodes.
func TestPacketTunnelsOfOthers(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, lab.PTP, "veth*")
	var want []string
	for family := range ipFamilies {
		here, pod, stranger, far := b.node.Addrs()[family], b.client.Addrs()[family], b.Outside.Addrs()[family], b.there.Addrs()[family]
		b.expect(t, b.client.Host, pod, stranger, b.Outside, here.String())
		b.expect(t, b.client.Host, pod, far, b.there.Host, pod.String())
		b.expect(t, b.Outside, stranger, pod, b.client.Host, stranger.String())
		b.expect(t, b.there.Host, far, pod, b.client.Host, far.String())
		b.expect(t, b.node.Host, here, stranger, b.Outside, here.String())
		// A second address of the node is no end of a tunnel.
		b.expect(t, b.node.Host, second[family], stranger, b.Outside, second[family].String())
		for _, flow := range [][2]netip.Addr{{pod, stranger}, {pod, far}, {stranger, pod}, {far, pod}, {here, stranger}, {second[family], stranger}} {
			want = append(want, flow[0].String()+" > "+flow[1].String())
		}
	}
	b.expectFlows(t, vxlan, want...)
}

// TestPacketTunnelsMembers has a node leave and join.
func TestPacketTunnelsMembers(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, lab.PTP, "veth*")
	var others []netip.Addr
	for n := range 100 {
		others = append(others, netip.MustParseAddr(fmt.Sprintf("192.168.51.%d", n+1)), netip.MustParseAddr(fmt.Sprintf("fd00:51::%x", n+1)))
	}
	with := func(ips ...netip.Addr) []netip.Addr { return slices.Concat(others, b.node.Addrs(), ips) }
	b.state.SetNodes(with(b.other.Addrs()...))
	b.commit(t)
	there := [2]string{b.other.Addr4.String(), b.other.Addr6.String()}
	for _, step := range []struct {
		name  string
		nodes []netip.Addr
		ops   []string
		want  [2]string
	}{
		{"nothing new", with(b.other.Addrs()...), nil, there},
		{"leaves", with(), []string{"delete element inet fairlead nodes4 { 192.168.50.2 }", "delete element inet fairlead nodes6 { fd00:50::2 }"},
			[2]string{"dropped", "dropped"}},
		{"joins", with(b.other.Addrs()...), []string{"add element inet fairlead nodes4 { 192.168.50.2 }", "add element inet fairlead nodes6 { fd00:50::2 }"}, there},
		{"with one family", with(b.other.Addr4), []string{"delete element inet fairlead nodes6 { fd00:50::2 }"}, [2]string{there[0], "dropped"}},
	} {
		b.state.SetNodes(step.nodes)
		want := strings.Join(append(step.ops, ""), "\n")
		if diff := cmp.Diff(want, b.commit(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		for family := range ipFamilies {
			b.expect(t, b.other.Host, b.other.Addrs()[family], b.node.Addrs()[family], b.node.Host, step.want[family])
		}
	}
	b.expectFlows(t, vxlan)
}

// TestPacketTunnelsBothEnds has a table on either node.
func TestPacketTunnelsBothEnds(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, lab.PTP, "veth*")
	state, table := plan.NewState(), openTable(t, b.other.NS)
	set := b.set
	set.Egress = nat.Egress{Sources: b.other.PodCIDRs}
	set.Tunnels.Addrs = b.other.Addrs()
	state.Configure(set)
	state.SetNodes(append(b.node.Addrs(), b.other.Addrs()...))
	commit(t, table, state)
	for family := range ipFamilies {
		here, there := b.node.Addrs()[family], b.other.Addrs()[family]
		b.expect(t, b.node.Host, here, there, b.other.Host, here.String())
		b.expect(t, b.other.Host, there, here, b.node.Host, there.String())
		b.expect(t, b.there.Host, b.there.Addrs()[family], here, b.node.Host, "dropped")
		b.expect(t, b.client.Host, b.client.Addrs()[family], there, b.other.Host, "dropped")
	}
	b.expectFlows(t, vxlan)
	if got := flows(t, b.other.NS, vxlan); len(got) > 0 {
		t.Errorf("node-2 tracks %v", got)
	}
}
