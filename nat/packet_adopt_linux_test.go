// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/plan"
)

// TestPacketAdopt keeps a connection open while the table is damaged, and mended by an
// agent that starts: the connection goes on, and new ones are served.
func TestPacketAdopt(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.configure(t, b.settings())
	to := at(second[0], 80, inet.TCP)
	serve := func(s *plan.State) {
		s.Configure(b.settings())
		s.Set(to, nat.Frontend{Policy: nat.External, Owner: "default/web", Backends: []nat.Backend{nat.BackendAt(netip.AddrPortFrom(b.there.Addr4, podPort), false)}})
	}
	serve(b.state)
	b.commit(t)
	want := "there saw " + b.node.Addr4.String()
	expect(t, b.Outside, netip.Addr{}, to, want)
	conn := open(t, b.Outside, to)
	for _, damage := range [][]string{
		{"add element inet fairlead vips4 { 192.0.2.7 . tcp . 80 : goto refuse }"},
		{"add set inet fairlead mine { type ipv4_addr; }"},
		{"flush chain inet fairlead services", "delete map inet fairlead hostports4"},
		{"add chain inet fairlead mine { type filter hook forward priority 0; policy drop; }"},
		{"add chain inet fairlead postrouting { policy drop; }"},
		{"flush chain inet fairlead services", "delete map inet fairlead vips4",
			"add map inet fairlead vips4 { type ipv4_addr . inet_proto . inet_service : verdict; size 10; }"},
		{"add table inet fairlead { flags dormant; }"},
	} {
		for _, command := range damage {
			if out, err := nstest.Command(t, b.node.NS, "nft", command).CombinedOutput(); err != nil {
				t.Fatalf("nft %s: %v\n%s", command, err, out)
			}
		}
		found, err := b.table.Load(t.Context())
		check(t, err)
		state := plan.NewState()
		serve(state)
		state.Adopt(found)
		commit(t, b.table, state)
		if got, err := conn.Ask(labtest.Patient(t)); err != nil || got.String() != want {
			t.Errorf("after %q the open connection answers %q, %v; want %q", damage, got, err, want)
		}
		expect(t, b.Outside, netip.Addr{}, to, want)
	}
}
