// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestCarryClients replaces affinity maps whose declaration differs. Their entries go on,
// with the time that they had left.
func TestCarryClients(t *testing.T) {
	ns := nstest.New(t)
	declare(t, ns, func(d *nft.Set) {
		if d.Size != 0 {
			d.Size /= 2
		}
	})
	const clients = 2000
	for i := range clients {
		if i%500 == 0 {
			list := ""
			for j := i; j < i+500; j++ {
				list += fmt.Sprintf("10.96.0.1 . tcp . 80 . 192.0.%d.%d timeout 3h expires %dm : 10.244.0.1 . 80,", j/250, j%250, 60+j%60)
			}
			nftCommand(t, ns, "add element inet fairlead affinity4 { "+list+" }")
		}
	}
	nftCommand(t, ns, "add element inet fairlead affinity6 { fd00:10:96::1 . tcp . 80 . 2001:db8::1 timeout 3h expires 1h : fd00:10:244::1 . 80 }")
	table := open(t, ns)
	before := lifetimes(t, table)
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := plan.NewState()
	s.Configure(nattest.Settings())
	s.Set(nattest.Addr("10.96.0.1:80", inet.TCP), nat.Frontend{Policy: nat.Internal, Owner: "default/web", Affinity: 3 * time.Hour, Backends: nattest.Pods(1)})
	s.Adopt(found)
	settle(t, s, table)
	restartWithNothing(t, table, s)
	after := lifetimes(t, table)
	if len(before) != clients+1 || len(after) != len(before) {
		t.Errorf("%d clients before, %d after, want %d", len(before), len(after), clients+1)
	}
	for client, left := range before {
		if now, ok := after[client]; !ok || now > left || now < left-time.Minute {
			t.Errorf("the entry of %s had %s left and now has %s", client, left, now)
		}
	}
}

// TestCarryFull carries more clients than the new map has room for: those stay whose time
// is the longest.
func TestCarryFull(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	settle(t, s, table)
	from, own := ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}, ruleset.Set{Kind: ruleset.LocalAffinity, Family: inet.IPv4, Number: 7}
	const clients, room = 2100, 2048
	for i := 0; i < clients; i += 525 {
		list := ""
		for j := i; j < i+525; j++ {
			list += fmt.Sprintf("10.96.0.1 . tcp . 80 . 192.0.%d.%d timeout 3h expires %ds : 10.244.0.1 . 80,", j/250, j%250, 1000+j)
		}
		nftCommand(t, ns, "add element inet fairlead affinity4 { "+list+" 10.96.0.2 . tcp . 80 . 192.0.2.1 timeout 3h : 10.244.0.1 . 80 }")
	}
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	if err := table.Commit(t.Context(), ruleset.Batch{
		{Verb: ruleset.AddSet, Set: own},
		{Verb: ruleset.CarryClients, Set: own, Element: ruleset.Element{Set: from, Key: key}},
	}); err != nil {
		t.Fatal(err)
	}
	got := table.Elements(t, own)
	if len(got) != room {
		t.Errorf("%d clients were carried, want %d", len(got), room)
	}
	for _, e := range got {
		if e.Key != key {
			t.Errorf("a client of %s was carried", e.Key)
		}
		for j := range clients - room {
			if e.Client.Addr() == netip.AddrFrom4([4]byte{192, 0, byte(j / 250), byte(j % 250)}) {
				t.Errorf("client %d was carried, whose entry expires before those of others", j)
			}
		}
	}
	// A second time everything is there already.
	if err := table.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.CarryClients, Set: own, Element: ruleset.Element{Set: from, Key: key}}}); err != nil {
		t.Error(err)
	}
}

func lifetimes(t *testing.T, table interface {
	Lifetimes(tb testing.TB, s ruleset.Set) map[string]time.Duration
}) map[string]time.Duration {
	t.Helper()
	out := table.Lifetimes(t, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4})
	maps.Copy(out, table.Lifetimes(t, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv6}))
	return out
}
