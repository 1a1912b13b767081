// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// TestPacketAffinityFull fills the affinity maps that all Services use. Clients of a
// Service are still remembered.
func TestPacketAffinityFull(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	b.apply(t, serviceObject(1, sticky(0)), serviceObject(2, sticky(0), externalLocal))
	for n := 1; n <= 2; n++ {
		b.apply(t, sliceObjects(n, ready(b.here), ready(b.there))...)
	}
	table, err := kernel.Open(b.node.NS)
	check(t, err)
	defer func() { check(t, table.Close()) }()
	for _, kind := range []ruleset.Kind{ruleset.Affinity, ruleset.NodeAffinity} {
		for _, f := range inet.Families() {
			fill(t, table, ruleset.Set{Kind: kind, Family: f})
		}
	}
	for family := range ipFamilies {
		for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP"} {
			to := b.frontend(kind, 1, family)
			had := b.endpointsOfClients(t, clients, to)
			if got := distinct(had); got != "here m, there m" {
				t.Errorf("%s: clients got to %s", to, got)
			}
			b.stays(t, clients, to, had)
		}
	}
}

// fill adds entries of another Service until the kernel takes no more.
func fill(t *testing.T, table *kernel.Table, set ruleset.Set) {
	t.Helper()
	client := netip.AddrFrom4([4]byte{10, 200})
	vip, backend := netip.AddrFrom4([4]byte{192, 0, 2, 99}), netip.AddrFrom4([4]byte{192, 0, 2, 98})
	if set.Family == inet.IPv6 {
		client, vip, backend = netip.MustParseAddr("2001:db8:200::"), netip.MustParseAddr("2001:db8::99"), netip.MustParseAddr("2001:db8::98")
	}
	if set.IsNode() {
		vip = set.Family.Unspecified()
	}
	for size := ruleset.DefaultLimit; size > 0; {
		batch := make(ruleset.Batch, size)
		next := client
		for i := range batch {
			next = next.Next()
			batch[i] = ruleset.Op{Verb: ruleset.AddElement, Element: ruleset.Element{
				Set: set, Key: tcp(vip, 9), Client: netip.PrefixFrom(next, next.BitLen()), Data: netip.AddrPortFrom(backend, 9),
			}}
		}
		err := table.Commit(t.Context(), batch)
		switch {
		case errors.Is(err, unix.ENFILE):
			size /= 2
		case err != nil:
			t.Fatal(err)
		default:
			client = next
		}
	}
}
