// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/nat"
)

// firstEmpty is the first port of such frontends.
const firstEmpty = 20000

// emptied is a frontend whose only endpoint goes and comes back.
type emptied struct {
	name     string
	nodePort bool
	serves   nat.Frontend
}

func (b *bed) emptied(family int) []emptied {
	outside := b.Outside.Addrs()[family]
	return []emptied{
		{"ClusterIP", false, nat.Frontend{Policy: nat.Internal}},
		{"external IP", false, nat.Frontend{Policy: nat.External}},
		{"external IP, policy Local", false, nat.Frontend{Policy: nat.Local}},
		{"external IP, source ranges", false, nat.Frontend{
			Policy: nat.External, Restricted: true,
			Sources: singles(outside, b.client.Addrs()[family], b.node.Addrs()[family]),
		}},
		{"NodePort", true, nat.Frontend{Policy: nat.External}},
		{"NodePort, policy Local", true, nat.Frontend{Policy: nat.Local}},
	}
}

// with returns the frontend with one endpoint on node-1.
func (e *emptied) with(family int, pod *lab.Pod) nat.Frontend {
	f := e.serves
	f.Owner = "default/web"
	backend := netip.AddrPortFrom(pod.Addrs()[family], podPort)
	f.Backends = []nat.Backend{nat.BackendAt(backend, true)}
	if f.Policy == nat.Local {
		f.LocalBackends = []netip.AddrPort{backend}
	}
	return f
}

// without returns the frontend without endpoints.
func (e *emptied) without() nat.Frontend {
	return nat.Frontend{Policy: nat.Reject, Owner: "default/web", Restricted: e.serves.Restricted, Sources: e.serves.Sources}
}

// reflectMarks has answers of the kernel carry the mark of the packet that they answer.
func reflectMarks(t *testing.T, h *lab.Host) {
	t.Helper()
	for _, name := range []string{"ipv4/fwmark_reflect", "ipv6/fwmark_reflect"} {
		check(t, h.NS.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0o600) }))
	}
}

// TestPacketEmptied takes the only endpoint of a frontend away and puts it back. The verdict of the
// frontend stays, and each client is refused that is refused at a frontend which never had an
// endpoint, also where answers carry the mark. Strangers to its source ranges are dropped, and open
// connections stay.
func TestPacketEmptied(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.configure(t, b.settings())
	reflectMarks(t, b.node.Host)
	for port := range uint16(len(b.emptied(0))) {
		labtest.Serve(t, b.node.Host, firstEmpty+port, protos...) // takes what is not translated
	}
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		for i, e := range b.emptied(family) {
			t.Run(e.name, func(t *testing.T) { b.empty(t, family, &e, firstEmpty+uint16(i), proto) })
		}
	})
}

func (b *bed) empty(t *testing.T, family int, e *emptied, port uint16, proto inet.Proto) {
	t.Helper()
	to := at(b.node.Addrs()[family], port, proto)
	key, never := to, at(b.node.Addrs()[family], port+100, proto)
	if e.nodePort {
		key.IP = [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family]
	}
	dialNever := never
	never.IP = key.IP
	b.state.Set(never, e.without())
	b.state.Set(key, e.with(family, b.web))
	b.commit(t)
	clients := []*lab.Host{b.client.Host, b.Outside, b.node.Host}
	b.answers(t, clients, to, "web saw ")
	stays := open(t, b.Outside, to)
	for range 2 {
		b.state.Set(key, e.without())
		if ops := b.commit(t); strings.Contains(ops, "vips") || strings.Contains(ops, "nodeports") {
			t.Errorf("the last endpoint goes and the verdict changes:\n%s", ops)
		}
		for _, from := range clients {
			want := dial(t, from, netip.Addr{}, dialNever, answered)
			if want != "refused" && (proto == inet.TCP || want != "unreachable") { // as the kernel says to a sender of UDP on the node
				t.Errorf("%s to %s: got %q, want a refusal", from.Name, dialNever, want)
			}
			expect(t, from, netip.Addr{}, to, want)
		}
		if e.serves.Restricted {
			expect(t, b.other.Host, netip.Addr{}, to, lab.ErrTimeout.Error())
			expect(t, b.other.Host, netip.Addr{}, dialNever, lab.ErrTimeout.Error())
		}
		if got, err := stays.Ask(labtest.Patient(t)); err != nil || got.Server != "web" {
			t.Errorf("an open connection got %q, %v", got.Server, err)
		}
		b.state.Set(key, e.with(family, b.web))
		if ops := b.commit(t); strings.Contains(ops, "vips") || strings.Contains(ops, "nodeports") {
			t.Errorf("an endpoint comes and the verdict changes:\n%s", ops)
		}
		b.answers(t, clients, to, "web saw ")
	}
	check(t, stays.Close())
}

// answers expects an answer of one pod to each client.
func (b *bed) answers(t *testing.T, clients []*lab.Host, to inet.Addr, want string) {
	t.Helper()
	for _, from := range clients {
		if got := dial(t, from, netip.Addr{}, to, answered); !strings.HasPrefix(got, want) {
			t.Errorf("%s to %s: got %q, want %q", from.Name, to, got, want)
		}
	}
}

// TestPacketFlapping takes the only endpoint away and puts it back while clients connect. Each of
// them is served or refused: no packet passes untranslated or gets lost.
func TestPacketFlapping(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.configure(t, b.settings())
	e := &emptied{serves: nat.Frontend{Policy: nat.External}}
	to := at(b.node.Addrs()[0], firstEmpty, inet.TCP)
	labtest.Serve(t, b.node.Host, firstEmpty, inet.TCP) // takes what is not translated
	b.state.Set(to, e.with(0, b.web))
	b.commit(t)
	ctx, cancel := context.WithCancel(labtest.Patient(t))
	defer cancel()
	outcomes := make(chan map[string]int)
	for _, from := range []*lab.Host{b.Outside, b.client.Host, b.node.Host} {
		go func() {
			seen := map[string]int{}
			for ctx.Err() == nil {
				c, err := from.OpenFrom(ctx, netip.Addr{}, to)
				if ctx.Err() != nil {
					break
				}
				if err != nil {
					seen[lab.Outcome(lab.Reply{}, err)]++
					continue
				}
				seen[c.Reply.Server]++
				_ = c.Close()
			}
			outcomes <- seen
		}()
	}
	for range 200 {
		b.state.Set(to, e.without())
		b.commit(t)
		b.state.Set(to, e.with(0, b.web))
		b.commit(t)
	}
	cancel()
	for range 3 {
		for outcome, n := range <-outcomes {
			if outcome != "web" && outcome != "refused" {
				t.Errorf("%d connections: %s", n, outcome)
			}
		}
	}
}
