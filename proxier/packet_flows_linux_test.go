// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// flow is a client that keeps its source port, as a resolver or a log shipper
// does, and never lets its conntrack entry time out.
type flow struct {
	*lab.Conn
	to inet.Addr
}

// flows opens one over UDP to each kind of address of the n-th Service: from a
// pod to the ClusterIP, from outside to the others.
func (b *bed) flows(t *testing.T, n int) []flow {
	t.Helper()
	var out []flow
	for family := range ipFamilies {
		for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP", "external IP"} {
			to := b.frontend(kind, n, family)
			to.Proto = inet.UDP
			host := b.Outside
			if kind == "ClusterIP" {
				host = b.client.Host
			}
			out = append(out, b.flow(t, host, to))
		}
	}
	return out
}

func (b *bed) flow(t *testing.T, host *lab.Host, to inet.Addr) flow {
	t.Helper()
	c, err := host.Open(labtest.Patient(t), to)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return flow{c, to}
}

// ask returns who answers now, or the word of the error.
func (f flow) ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	r, err := f.Ask(ctx)
	if err != nil {
		return lab.Outcome(r, err)
	}
	return r.Server
}

// reach waits until each of the flows gets to an endpoint, or to nobody for "".
func reach(t *testing.T, flows []flow, want string) {
	t.Helper()
	start := time.Now()
	for _, f := range flows {
		waitFor(t, fmt.Sprintf("%s leads to %q", f.to, want), func() bool {
			got := f.ask(t.Context())
			return got == want || want == "" && got != "here" && got != "there"
		})
	}
	t.Logf("all flows lead to %q after %v", want, time.Since(start))
}

// ids returns the kernel's names for the flows in node-1's table: one that was
// deleted and came back has another.
func (b *bed) ids(t *testing.T, flows ...flow) map[string]uint32 {
	t.Helper()
	conn, err := conntrack.Dial(&netlink.Config{NetNS: b.node.NS.Fd()})
	check(t, err)
	defer func() { _ = conn.Close() }()
	all, err := conn.Dump(nil)
	check(t, err)
	out := map[string]uint32{}
	for _, f := range flows {
		for i := range all {
			o := &all[i].TupleOrig
			origin := netip.AddrPortFrom(o.IP.SourceAddress, o.Proto.SourcePort)
			dialled := inet.Addr{IP: o.IP.DestinationAddress, Port: o.Proto.DestinationPort, Proto: inet.Proto(o.Proto.Protocol)}
			if origin == f.Source() && dialled == f.to {
				out[fmt.Sprint(origin, " to ", dialled)] = all[i].ID
			}
		}
	}
	if len(out) != len(flows) {
		t.Fatalf("%d of %d flows are in the table: %v", len(out), len(flows), out)
	}
	return out
}

// sweep has all flows looked at, and waits until a whole pass over them has
// begun and ended: the first to end may be one that ran already.
func (b *bed) sweep(t *testing.T) {
	t.Helper()
	for range 2 {
		before := b.sweeps.Load()
		b.cleaner.SweepAll(nil)
		waitFor(t, "flows are looked at", func() bool { return b.sweeps.Load() > before })
	}
}

// TestPacketStaleFlows replaces the endpoint behind UDP flows that never end.
func TestPacketStaleFlows(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, everyProtocol))
	set := func(t *testing.T, members ...member) {
		t.Helper()
		b.apply(t, slicesWith(1, everyProtocolPorts(), members...)...)
	}
	set(t, ready(b.here))
	flows := b.flows(t, 1)
	t.Run("replaced", func(t *testing.T) {
		reach(t, flows, "here")
		set(t, ready(b.there))
		reach(t, flows, "there")
	})
	t.Run("terminating ones keep theirs", func(t *testing.T) {
		before := b.ids(t, flows...)
		set(t, ready(b.here), draining(b.there))
		b.sweep(t)
		reach(t, flows, "there")
		if diff := cmp.Diff(before, b.ids(t, flows...)); diff != "" {
			t.Errorf("flows (-before +after):\n%s", diff)
		}
		set(t, ready(b.here), failing(b.there))
		reach(t, flows, "here")
	})
	t.Run("none left, and the first one", func(t *testing.T) {
		set(t)
		reach(t, flows, "refused")
		set(t, ready(b.there))
		reach(t, flows, "there")
	})
	t.Run("Service removed and added", func(t *testing.T) {
		b.remove(t, serviceObject(1))
		reach(t, flows, "")
		b.apply(t, serviceObject(1, everyProtocol))
		reach(t, flows, "there")
	})
	t.Run("replaced while the agent was away", func(t *testing.T) {
		b.stop()
		b.put(t, slicesWith(1, everyProtocolPorts(), ready(b.here))...)
		b.start(t, defaults())
		reach(t, flows, "here")
	})
}

// TestPacketFlowsBefore has flows to a node port and a VIP that began before
// there was a Service: nobody translated them.
func TestPacketFlowsBefore(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	_, err := b.node.ServeAs("host", inet.UDP, nodePort(1), b.node.Addrs()...)
	check(t, err)
	var flows []flow
	for family := range ipFamilies {
		to := b.frontend("NodePort", 1, family)
		to.Proto = inet.UDP
		flows = append(flows, b.flow(t, b.Outside, to))
	}
	reach(t, flows, "host")
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.there))...)
	b.apply(t, serviceObject(1, everyProtocol))
	reach(t, flows, "there")
}

// TestPacketOtherFlows changes a Service and looks at flows that it has nothing
// to do with: those of another Service, TCP to its removed endpoint, and UDP to
// the number of its node port elsewhere.
func TestPacketOtherFlows(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	_, err := b.there.Serve(inet.UDP, nodePort(1))
	check(t, err)
	for n := 1; n <= 2; n++ {
		b.apply(t, serviceObject(n, everyProtocol))
		b.apply(t, slicesWith(n, everyProtocolPorts(), ready(b.here))...)
	}
	b.apply(t, slicesWith(2, everyProtocolPorts(), ready(b.here), ready(b.there))...)
	flows, others := b.flows(t, 1), b.flows(t, 2)
	for family, ip := range b.there.Addrs() {
		others = append(others, b.flow(t, b.client.Host, udp(ip, nodePort(1))),
			b.flow(t, b.client.Host, b.frontend("ClusterIP", 1, family)),
			b.flow(t, b.Outside, b.frontend("NodePort", 1, family)))
	}
	before := b.ids(t, others...)
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.there))...)
	reach(t, flows, "there")
	b.remove(t, serviceObject(1))
	reach(t, flows, "")
	b.sweep(t)
	for _, f := range others {
		if r, err := f.Ask(labtest.Patient(t)); err != nil {
			t.Errorf("%s: %v, %v", f.to, r, err)
		}
	}
	if diff := cmp.Diff(before, b.ids(t, others...)); diff != "" {
		t.Errorf("flows (-before +after):\n%s", diff)
	}
}
