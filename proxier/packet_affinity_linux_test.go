// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

// crowd is how many clients the tests of session affinity have: enough that by
// chance two endpoints share them, or a client changes its endpoint, but once in
// 2^23 times. Of three endpoints one is missed by all of them once in 5,600 times, and by
// twice as many clients once in 2^26 times.
const crowd = 24

// clients gives the host outside addresses and returns a client for each.
func (b *bed) clients(t *testing.T) []origin {
	t.Helper()
	return b.manyClients(t, crowd)
}

func (b *bed) manyClients(t *testing.T, n int) []origin {
	t.Helper()
	out := make([]origin, n)
	for i := range out {
		out[i] = origin{b.Outside, both("198.51.100.%d", "2001:db8:100::%d", 100+i)}
		for family, bits := range []int{24, 64} {
			ip := out[i].addr[family]
			check(t, b.Outside.AddAddr("eth0", netip.PrefixFrom(ip, bits)))
			route := netip.PrefixFrom(ip, ip.BitLen())
			check(t, b.other.SetRoute(route, b.node.Addrs()[family], "eth0"))
		}
	}
	return out
}

// endpointsOfClients dials once from each client and returns who answered.
func (b *bed) endpointsOfClients(t *testing.T, clients []origin, to inet.Addr) []string {
	t.Helper()
	out := make([]string, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { out[i] = b.dial(t.Context(), c, to) })
	}
	all.Wait()
	return out
}

// sticky switches session affinity on; 0 seconds are the API's default.
func sticky(seconds int32) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		if seconds > 0 {
			svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
		}
	}
}

// stays dials a few times and expects every client to keep its endpoint.
func (b *bed) stays(t *testing.T, clients []origin, to inet.Addr, want []string) {
	t.Helper()
	for range 4 {
		if got := b.endpointsOfClients(t, clients, to); !slices.Equal(got, want) {
			t.Errorf("%s: clients changed from\n%v to\n%v", to, want, got)
			return
		}
	}
}

// changes dials again after each pause until some client has another endpoint.
func (b *bed) changes(t *testing.T, pause time.Duration, clients []origin, to inet.Addr, from []string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("a client of %s changes its endpoint", to), func() bool {
		time.Sleep(pause)
		return !slices.Equal(b.endpointsOfClients(t, clients, to), from)
	})
}

func distinct(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// TestPacketAffinity keeps clients with their endpoints, at each kind of address
// and with each policy, over a restart of the agent and until an endpoint goes.
func TestPacketAffinity(t *testing.T) {
	t.Parallel()
	b, here2, _ := newPairBed(t)
	clients := b.manyClients(t, 2*crowd)
	b.apply(t, serviceObject(1, sticky(0)), serviceObject(2, sticky(0), externalLocal))
	for n := 1; n <= 2; n++ {
		b.apply(t, sliceObjects(n, ready(b.here), ready(here2), ready(b.there))...)
	}
	type target struct {
		to     inet.Addr
		spread string
	}
	var targets []target
	for family := range ipFamilies {
		for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP", "external IP"} {
			targets = append(targets, target{b.frontend(kind, 1, family), "here m, here2 m, there m"})
			if kind != "ClusterIP" {
				targets = append(targets, target{b.frontend(kind, 2, family), "here -, here2 -"})
			}
		}
	}
	had := map[inet.Addr][]string{}
	for _, target := range targets {
		had[target.to] = b.endpointsOfClients(t, clients, target.to)
		if got := distinct(had[target.to]); got != target.spread {
			t.Errorf("%s: clients got to %s, want %s", target.to, got, target.spread)
		}
		b.stays(t, clients, target.to, had[target.to])
	}
	b.restart(t, defaults())
	for _, target := range targets {
		b.stays(t, clients, target.to, had[target.to])
	}
	for n := 1; n <= 2; n++ {
		b.apply(t, sliceObjects(n, ready(b.here), ready(b.there))...)
	}
	for _, target := range targets {
		var got []string
		waitFor(t, fmt.Sprintf("here2 is forgotten at %s", target.to), func() bool {
			got = b.endpointsOfClients(t, clients, target.to)
			return !strings.Contains(distinct(got), "here2")
		})
		for i, was := range had[target.to] {
			if !strings.HasPrefix(was, "here2") && got[i] != was {
				t.Errorf("%s: a client of %s got to %s when here2 had gone", target.to, was, got[i])
			}
		}
		b.stays(t, clients, target.to, got)
	}
}

// TestPacketAffinitySwitched switches affinity on and off and changes its
// timeout.
func TestPacketAffinitySwitched(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	for _, step := range []struct {
		name string
		svc  *corev1.Service
		want func(t *testing.T, to inet.Addr, had []string)
	}{
		{"off", serviceObject(1), func(t *testing.T, to inet.Addr, had []string) { t.Helper(); b.changes(t, 0, clients, to, had) }},
		{"on", serviceObject(1, sticky(0)), func(t *testing.T, to inet.Addr, had []string) { t.Helper(); b.stays(t, clients, to, had) }},
		{"shorter", serviceObject(1, sticky(1)), func(t *testing.T, to inet.Addr, had []string) {
			t.Helper()
			b.changes(t, 1200*time.Millisecond, clients, to, had)
		}},
		{"longer", serviceObject(1, sticky(86400)), func(t *testing.T, to inet.Addr, had []string) {
			t.Helper()
			time.Sleep(1500 * time.Millisecond) // as long as it took before
			b.stays(t, clients, to, had)
		}},
		{"off again", serviceObject(1), func(t *testing.T, to inet.Addr, had []string) { t.Helper(); b.changes(t, 0, clients, to, had) }},
	} {
		t.Run(step.name, func(t *testing.T) {
			b.apply(t, step.svc)
			for family := range ipFamilies {
				for _, kind := range []string{"ClusterIP", "NodePort"} {
					t.Run(kind+" "+ipFamilies[family], func(t *testing.T) {
						t.Parallel()
						to := b.frontend(kind, 1, family)
						step.want(t, to, b.endpointsOfClients(t, clients, to))
					})
				}
			}
		})
	}
}

// TestPacketAffinityPorts does not share what it remembers between the ports of
// a Service, nor its protocols.
func TestPacketAffinityPorts(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	b.apply(t, serviceObject(1, everyProtocol, sticky(0)))
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here), ready(b.there))...)
	eachFamily(t, func(t *testing.T, family int) {
		t.Helper()
		var before []string
		for _, proto := range everyProto {
			to := b.frontend("LB VIP", 1, family)
			to.Proto = proto
			had := b.endpointsOfClients(t, clients, to)
			if distinct(had) != "here m, there m" || slices.Equal(before, had) {
				t.Errorf("%s: clients got to %v, those before to %v", to, had, before)
			}
			b.stays(t, clients, to, had)
			before = had
		}
	})
}

// TestPacketAffinityForgets takes an endpoint away and brings it back: clients
// that went elsewhere meanwhile stay there.
func TestPacketAffinityForgets(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	b.apply(t, serviceObject(1, sticky(0)))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	for family := range ipFamilies {
		b.endpointsOfClients(t, clients, b.frontend("LB VIP", 1, family))
	}
	b.apply(t, sliceObjects(1, ready(b.here))...)
	for family := range ipFamilies {
		to := b.frontend("LB VIP", 1, family)
		waitFor(t, fmt.Sprintf("there is forgotten at %s", to), func() bool {
			return distinct(b.endpointsOfClients(t, clients, to)) == "here m"
		})
	}
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	for family := range ipFamilies {
		b.stays(t, clients, b.frontend("LB VIP", 1, family), slices.Repeat([]string{"here m"}, crowd))
	}
}

// TestPacketAffinityForged has another program tell the node that a client was at an address
// that is no endpoint, and at an endpoint of another Service.
func TestPacketAffinityForged(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	b.apply(t, serviceObject(1, sticky(0)))
	b.apply(t, sliceObjects(1, ready(b.here))...)
	to := b.frontend("LB VIP", 1, 0)
	waitFor(t, "the Service works", func() bool { return distinct(b.endpointsOfClients(t, clients, to)) == "here m" })
	set := ruleset.AffinityOf(to, false, 1)
	for i, address := range []string{"192.0.2.66 . 6666", fmt.Sprintf("%s . 1", b.there.Addrs()[0])} {
		nft := func(text string) (string, error) {
			out, err := nstest.Command(t, b.node.NS, "nft", text).CombinedOutput()
			return string(out), err
		}
		key := fmt.Sprintf("%s . %s . %d . %s", to.IP, to.Proto, to.Port, clients[i].addr[0])
		entry := fmt.Sprintf("element inet fairlead %s { %s timeout 1h : %s }", set, key, address)
		if out, err := nft("delete element inet fairlead " + set.String() + " { " + key + " }; add " + entry); err != nil {
			t.Fatalf("%s: %v\n%s", entry, err, out)
		}
		waitFor(t, "the forged entry goes: "+address, func() bool {
			out, err := nft("list map inet fairlead " + set.String())
			return err == nil && !strings.Contains(out, ": "+address)
		})
	}
	if got := distinct(b.endpointsOfClients(t, clients, to)); got != "here m" {
		t.Errorf("clients reach %q", got)
	}
}
