// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"testing"
	"time"

	"fairlead/internal/inet"
)

// TestMissed tells flows that missed masquerade from others. 10.244.0.0/16 are pods,
// 192.0.2.0/24 is outside of the cluster.
func TestMissed(t *testing.T) {
	v := NewView(isNode, false)
	v.Set(udp("10.96.0.10:53"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.1:53"), ap("10.244.0.2:53"))})
	leaves := func(from, to netip.Addr) bool {
		return netip.MustParsePrefix("10.244.0.0/16").Contains(from) && netip.MustParsePrefix("192.0.2.0/24").Contains(to)
	}
	flow := func(client, dialled, answerer string) *entry {
		return &entry{Flow: Flow{Client: ap(client), Dialled: udp(dialled), Answerer: ap(answerer)}, unanswered: true, kept: true}
	}
	for _, tt := range []struct {
		name            string
		e               *entry
		change          func(*entry)
		surely, perhaps bool
	}{
		{name: "out of the cluster", e: flow("10.244.0.7:1", "192.0.2.1:53", "192.0.2.1:53"), surely: true},
		{name: "answered", e: flow("10.244.0.7:1", "192.0.2.1:53", "192.0.2.1:53"), change: func(e *entry) { e.unanswered = false }},
		{name: "masqueraded", e: flow("10.244.0.7:1", "192.0.2.1:53", "192.0.2.1:53"), change: func(e *entry) { e.kept = false }},
		{name: "to this node", e: flow("10.244.0.7:1", nodeAddr+":53", nodeAddr+":53")},
		{name: "of no pod", e: flow("192.0.2.7:1", "192.0.2.1:53", "192.0.2.1:53")},
		{name: "to itself", e: flow("10.244.0.1:1", "10.96.0.10:53", "10.244.0.1:53"), surely: true},
		{name: "to an endpoint", e: flow("10.244.0.7:1", "10.96.0.10:53", "10.244.0.1:53"), perhaps: true},
		{name: "not translated", e: flow("10.244.0.7:1", "10.244.0.1:53", "10.244.0.1:53")},
		{name: "of another program", e: flow("10.244.0.7:1", "10.97.0.10:53", "10.244.0.1:53")},
		{name: "to a removed endpoint", e: flow("10.244.0.7:1", "10.96.0.10:53", "10.244.0.3:53")},
		{name: "out of the cluster through a Service", e: flow("10.244.0.7:1", "10.96.0.10:53", "192.0.2.1:53"), surely: true},
	} {
		if tt.change != nil {
			tt.change(tt.e)
		}
		if surely, perhaps := v.missed(tt.e, leaves); surely != tt.surely || perhaps != tt.perhaps {
			t.Errorf("%s: %v, perhaps %v, want %v and %v", tt.name, surely, perhaps, tt.surely, tt.perhaps)
		}
		if surely, _ := v.missed(tt.e, nil); surely && tt.name != "to itself" {
			t.Errorf("%s, and nothing is masqueraded: the flow missed it", tt.name)
		}
	}
	local := flow("10.244.0.7:1", "192.0.2.1:53", nodeAddr+":53")
	if surely, perhaps := v.missed(local, func(_, _ netip.Addr) bool { return true }); surely || perhaps {
		t.Error("a flow to this node missed masquerade")
	}
}

// TestBypassed looks again at flows that perhaps missed masquerade. Those that were right
// meanwhile, are gone, or are of UDP without another packet, stay alone.
func TestBypassed(t *testing.T) {
	f := newFlows(t)
	c := NewCleaner(Config{Namespace: f.ns})
	tcp := inet.Addr{IP: netip.MustParseAddr("10.96.0.10"), Port: 53, Proto: inet.TCP}
	for _, a := range []inet.Addr{udp("10.96.0.10:53"), tcp} {
		c.Set(a, inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
	}
	f.addState(t, inet.UDP, 0, 0, "10.0.0.1:1", "10.96.0.10:53", "10.244.0.1:53")
	f.addState(t, inet.TCP, 1, 0, "10.0.0.1:2", "10.96.0.10:53", "10.244.0.1:53")
	c.SweepAll(nil)
	start := time.Now()
	if s, _, next := c.pass(t.Context(), start); s.Err != nil || s.Deleted != 0 || next.IsZero() {
		t.Fatalf("%+v, next %v", s, next)
	}
	if len(c.bypassed.of) != 2 {
		t.Fatalf("%d flows are to be looked at again", len(c.bypassed.of))
	}
	c.bypassed.next = time.Now() // or the flow of UDP would have to become older
	if s, _, _ := c.pass(t.Context(), time.Now()); s.Err != nil || s.Deleted != 1 {
		t.Errorf("%+v, want one deleted flow", s)
	}
	if got := f.list(t); len(got) != 1 || got[0] != "10.0.0.1:1" {
		t.Errorf("left are %v, want the flow of UDP", got)
	}
	if s, _, _ := c.pass(t.Context(), start.Add(bypassFor+time.Minute)); s.Err != nil {
		t.Error(s.Err)
	}
	if len(c.bypassed.of) != 0 {
		t.Errorf("%d flows are looked at for ever", len(c.bypassed.of))
	}
	if got := f.list(t); len(got) != 1 {
		t.Errorf("left are %v, want the flow of UDP", got)
	}
}
