// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/plan"
)

// TestPacketCounters makes connections to a frontend of two backends: each is
// counted where it went, and remains so when the agent starts again and when
// another backend goes.
func TestPacketCounters(t *testing.T) {
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.BackendCounters = true
	b.configure(t, set)
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		at := inet.Addr{IP: [2]netip.Addr{netip.MustParseAddr("10.96.0.20"), netip.MustParseAddr("fd00:10:96::20")}[family], Port: 80, Proto: proto}
		names := map[string]netip.AddrPort{}
		f := nat.Frontend{Policy: nat.Internal, Owner: "default/web:http"}
		for _, p := range []*lab.Pod{b.web, b.there} {
			names[p.Name] = netip.AddrPortFrom(p.Addrs()[family], podPort)
			f.Backends = append(f.Backends, nat.BackendAt(names[p.Name], false))
		}
		b.state.Set(at, f)
		b.commit(t)
		want := map[netip.AddrPort]uint64{}
		flows := map[netip.AddrPort]bool{}
		for range 20 {
			c := open(t, b.client.Host, at)
			// A datagram from a port that was used before belongs to the same flow.
			if !flows[c.Source()] {
				want[names[c.Reply.Server]]++
			}
			flows[c.Source()] = true
			check(t, c.Close())
		}
		expectCounts(t, b.table, at, want)

		again := plan.NewState()
		again.Configure(set)
		again.Set(at, f)
		found, err := b.table.Load(t.Context())
		check(t, err)
		again.Adopt(found)
		if ops := commit(t, b.table, again); ops != "" {
			t.Errorf("after a restart there is something to do:\n%s", ops)
		}
		expectCounts(t, b.table, at, want)
		b.state.Delete(at)
		b.commit(t)
		expectCounts(t, b.table, at, nil)
	})
}

// expectCounts compares the counters of a frontend.
func expectCounts(t *testing.T, table *kernel.Table, at inet.Addr, want map[netip.AddrPort]uint64) {
	t.Helper()
	all, err := table.BackendCounters(t.Context())
	check(t, err)
	got := 0
	for _, c := range all {
		if c.Frontend != at {
			continue
		}
		got++
		if c.Connections != want[c.Backend] || c.Owner != "default/web:http" || c.Local {
			t.Errorf("counter %+v, want %d connections of default/web:http", c, want[c.Backend])
		}
	}
	if got != len(want) {
		t.Errorf("%d backends of %s have counters, want %d", got, at, len(want))
	}
}
