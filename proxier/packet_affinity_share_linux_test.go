// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"errors"
	"net/netip"
	"strings"
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
	for family, f := range inet.Families() {
		backend := netip.AddrPortFrom(b.here.Addrs()[family], targetPort)
		node := tcp(f.Unspecified(), nodePort(2))
		fill(t, table, ruleset.Set{Kind: ruleset.Affinity, Family: f}, b.frontend("ClusterIP", 2, family), backend)
		fill(t, table, ruleset.Set{Kind: ruleset.NodeAffinity, Family: f}, node, backend)
	}
	maps, err := kernel.AffinityMaps(b.node.NS)
	check(t, err)
	full := 0
	for _, m := range maps {
		if m.Clients == m.Size {
			full++
		}
	}
	if full != 4 || len(maps) <= full {
		t.Errorf("%d of %d maps are full, want 4: %v", full, len(maps), maps)
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

// TestPacketAffinityOwnFull fills the map of a Service with clients of its own, as a tenant can
// with forged sources. More of its clients are remembered in the map that all Services use, and
// the clients of others stay with their endpoints.
func TestPacketAffinityOwnFull(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	clients := b.clients(t)
	for n := 1; n <= 2; n++ {
		b.apply(t, serviceObject(n, sticky(0)))
		b.apply(t, sliceObjects(n, ready(b.here), ready(b.there))...)
	}
	table, err := kernel.Open(b.node.NS)
	check(t, err)
	defer func() { check(t, table.Close()) }()
	for family, f := range inet.Families() {
		to, other := b.frontend("ClusterIP", 1, family), b.frontend("ClusterIP", 2, family)
		others := b.endpointsOfClients(t, clients, other)
		fill(t, table, ruleset.Set{Kind: ruleset.Affinity, Family: f, Number: 1}, to, netip.AddrPortFrom(b.here.Addrs()[family], targetPort))
		had := b.endpointsOfClients(t, clients, to)
		if got := distinct(had); got != "here m, there m" {
			t.Errorf("%s: clients got to %s", to, got)
		}
		b.stays(t, clients, to, had)
		b.stays(t, clients, other, others)
	}
	maps, err := kernel.AffinityMaps(b.node.NS)
	check(t, err)
	used := map[string]int{}
	for _, m := range maps {
		if used[m.Name] = m.Clients; strings.HasSuffix(m.Name, "-1") && m.Clients != m.Size && strings.HasPrefix(m.Name, "affinity") {
			t.Errorf("%s has %d clients of %d", m.Name, m.Clients, m.Size)
		}
	}
	for name, want := range map[string]int{"affinity4": crowd, "affinity6": crowd, "affinity4-2": crowd, "affinity6-2": crowd} {
		if used[name] != want {
			t.Errorf("%s has %d clients, want %d: %v", name, used[name], want, used)
		}
	}
}

// fill adds entries of another Service until the kernel takes no more.
func fill(t *testing.T, table *kernel.Table, set ruleset.Set, to inet.Addr, backend netip.AddrPort) {
	t.Helper()
	client := netip.AddrFrom4([4]byte{10, 200})
	if set.Family == inet.IPv6 {
		client = netip.MustParseAddr("2001:db8:200::")
	}
	for size := ruleset.DefaultLimit; size > 0; {
		batch := make(ruleset.Batch, size)
		next := client
		for i := range batch {
			next = next.Next()
			batch[i] = ruleset.Op{Verb: ruleset.AddElement, Element: ruleset.Element{
				Set: set, Key: to, Client: netip.PrefixFrom(next, next.BitLen()), Data: backend,
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
