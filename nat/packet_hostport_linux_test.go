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

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
	"fairlead/nat"
)

// Host ports of the tests: on every address of the node, on one, and on a
// loopback address.
const (
	portEverywhere = 7001
	portSecond     = 7002
	portLoopback   = 7003
)

// hostPorts gives a pod each of the host ports, over each protocol.
func hostPorts(pod *lab.Pod) []nat.HostPort {
	unspecified := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	loopback := [2]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	var out []nat.HostPort
	for i, ip := range pod.Addrs() {
		for _, proto := range protos {
			for _, addr := range []inet.Addr{
				at(unspecified[i], portEverywhere, proto), at(second[i], portSecond, proto), at(loopback[i], portLoopback, proto),
			} {
				out = append(out, nat.HostPort{Addr: addr, Pod: netip.AddrPortFrom(ip, podPort), Owner: "default/" + pod.Name})
			}
		}
	}
	return out
}

// expectHostPorts dials the host ports from everywhere. Whoever dials is seen
// with his own address, but for the pod itself.
func (b *bed) expectHostPorts(t *testing.T, pod *lab.Pod) {
	t.Helper()
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		first, other := b.node.Addrs()[family], second[family]
		everywhere := []inet.Addr{at(first, portEverywhere, proto), at(other, portEverywhere, proto), at(other, portSecond, proto)}
		for _, to := range everywhere {
			for _, from := range []*lab.Host{b.Outside, b.other.Host, b.there.Host, b.client.Host} {
				expect(t, from, netip.Addr{}, to, pod.Name+" saw "+from.Addrs()[family].String())
			}
			expect(t, pod.Host, netip.Addr{}, to, pod.Name+" saw "+b.gateway(family).String())
			expect(t, b.node.Host, first, to, pod.Name+" saw "+first.String())
		}
		expect(t, b.Outside, netip.Addr{}, at(first, portSecond, proto), "refused")
		loopback := [2]string{"127.0.0.1", "::1"}[family]
		for _, port := range []uint16{portEverywhere, portLoopback} {
			expect(t, b.node.Host, netip.Addr{}, at(netip.MustParseAddr(loopback), port, proto), "refused")
		}
		expect(t, b.Outside, netip.Addr{}, at(b.other.Addrs()[family], portEverywhere, proto), "refused")
	})
}

// TestPacketHostPort dials host ports, gives them to another pod, and takes them
// away.
func TestPacketHostPort(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, link)
			set := b.settings()
			set.Egress = nat.Egress{Sources: b.node.PodCIDRs, KeepNodes: true}
			b.state.SetNodes(append(b.node.Addrs(), b.other.Addrs()...))
			b.state.SetHostPorts(hostPorts(b.web))
			b.configure(t, set)
			b.expectHostPorts(t, b.web)

			next := labtest.Pod(t, b.node, "next", podPort, protos...)
			b.state.SetHostPorts(hostPorts(next))
			b.commit(t)
			b.expectHostPorts(t, next)

			b.state.SetHostPorts(nil)
			b.commit(t)
			eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
				t.Helper()
				expect(t, b.Outside, netip.Addr{}, at(b.node.Addrs()[family], portEverywhere, proto), "refused")
				expect(t, b.client.Host, netip.Addr{}, at(second[family], portSecond, proto), "refused")
			})
		})
	}
}

// TestPacketHostPortChanges shows what a change costs.
func TestPacketHostPortChanges(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.configure(t, b.settings())
	port := func(n uint16, pod *lab.Pod) nat.HostPort {
		return nat.HostPort{Addr: at(netip.IPv4Unspecified(), n, inet.TCP), Pod: netip.AddrPortFrom(pod.Addr4, podPort), Owner: "default/" + pod.Name}
	}
	var many []nat.HostPort
	with := func(p nat.HostPort) []nat.HostPort { return slices.Concat(many, []nat.HostPort{p}) }
	for n := range uint16(100) {
		many = with(port(10000+n, b.web))
	}
	b.state.SetHostPorts(many)
	b.commit(t)
	for _, step := range []struct {
		name  string
		ports []nat.HostPort
		want  string
	}{
		{"the same", many, ""},
		{"one more", with(port(9000, b.web)), `
add element inet fairlead hostports4 { tcp . 9000 comment "default/web" : 10.244.1.3 . 8080 }
`},
		{"of another pod", with(port(9000, b.client)), `
delete element inet fairlead hostports4 { tcp . 9000 comment "default/web" : 10.244.1.3 . 8080 }
add element inet fairlead hairpin4 { 10.244.1.2 . 10.244.1.2 }
add element inet fairlead hostports4 { tcp . 9000 comment "default/client" : 10.244.1.2 . 8080 }
`},
		{"one less", many, `
delete element inet fairlead hairpin4 { 10.244.1.2 . 10.244.1.2 }
delete element inet fairlead hostports4 { tcp . 9000 comment "default/client" : 10.244.1.2 . 8080 }
`},
	} {
		b.state.SetHostPorts(step.ports)
		if diff := cmp.Diff(strings.TrimPrefix(step.want, "\n"), b.commit(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	expect(t, b.Outside, netip.Addr{}, at(b.node.Addr4, 10099, inet.TCP), "web saw "+b.Outside.Addr4.String())
}

// TestPacketHostPortRepair loses the whole table.
func TestPacketHostPortRepair(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.state.SetHostPorts(hostPorts(b.web))
	b.configure(t, b.settings())
	nft := func(command string) {
		if out, err := nstest.Command(t, b.node.NS, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
	}
	for _, damage := range []string{"flush ruleset", "flush map inet fairlead hostports4", "flush chain inet fairlead services"} {
		nft(damage)
		expect(t, b.Outside, netip.Addr{}, at(b.node.Addr4, portEverywhere, inet.TCP), "refused")
		found, err := b.table.Load(t.Context())
		check(t, err)
		b.state.Adopt(found)
		b.commit(t)
		b.expectHostPorts(t, b.web)
	}
}

// TestPacketHostPortContested gives one port to a Service, too, which wins for
// as long as it exists.
func TestPacketHostPortContested(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.state.SetHostPorts(hostPorts(b.web))
	b.configure(t, b.settings())
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		unspecified := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family]
		for _, port := range []uint16{portEverywhere, portSecond} {
			t.Run(fmt.Sprint(port), func(t *testing.T) {
				to, service := at(second[family], port, proto), at(unspecified, port, proto)
				for _, step := range []struct {
					policy nat.TrafficPolicy
					want   string
				}{
					{nat.External, "there saw " + b.node.Addrs()[family].String()},
					{nat.Reject, "refused"},
				} {
					if step.policy == nat.Reject {
						b.state.Set(service, nat.Frontend{Policy: nat.Reject, Owner: "default/web"})
						b.commit(t)
					} else {
						b.serve(t, step.policy, service, netip.AddrPortFrom(b.there.Addrs()[family], podPort), false)
					}
					expect(t, b.Outside, netip.Addr{}, to, step.want)
					expect(t, b.client.Host, netip.Addr{}, to, step.want)
				}
				b.state.Delete(service)
				b.commit(t)
				expect(t, b.Outside, netip.Addr{}, to, "web saw "+b.Outside.Addrs()[family].String())
			})
		}
	})
}
