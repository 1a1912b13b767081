// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// unsticky is a State whose frontends have no session affinity.
type unsticky struct{ *plan.State }

func (s unsticky) Set(key inet.Addr, f nat.Frontend) {
	f.Affinity = 0
	s.State.Set(key, f)
}

// TestAdoptWrittenBack replaces the table by its own listing, as an operator does who
// saves and restores the ruleset. Each version of nft writes other user data with sets
// and ranges, and some rules with other expressions. Rules are mended; sets and elements
// stay.
func TestAdoptWrittenBack(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(unsticky{s}) // nft cannot read chains that remember clients, see TestReadable
	settle(t, s, table)
	before := list(t, ns)
	file := filepath.Join(t.TempDir(), "table.nft")
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	nftCommand(t, ns, "delete table inet fairlead")
	if out, err := nstest.Command(t, ns, "nft", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("nft -f on its own listing: %v\n%s", err, out)
	}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Adopt(found) {
		if d.Kind != plan.KindChain {
			t.Errorf("%d %ss differ, for example %s; want rules only", d.Count, d.Kind, d.Example)
		}
	}
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if i := slices.IndexFunc(b.Batch, func(o ruleset.Op) bool { return o.Verb != ruleset.AddChain }); i >= 0 {
			t.Errorf("the repair does more than mending rules:\n%s", b)
		}
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
	}
	if diff := cmp.Diff(nattest.Blocks(before), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestAdoptUserData meets sets whose user data nobody knows, as a future nft may write
// it. They stay.
func TestAdoptUserData(t *testing.T) {
	ns := nstest.New(t)
	declare(t, ns, func(d *nft.Set) { d.UserData = "\xff\x03\x00\xfe" + d.UserData })
	table := open(t, ns)
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	s.Adopt(found)
	for b := s.Next(0); b != nil; b = s.Next(0) {
		for i := range b.Batch {
			if o := &b.Batch[i]; o.Verb == ruleset.DeleteSet || o.Verb == ruleset.AddSet && !o.Set.OnDemand() {
				t.Errorf("a set was replaced: %s", o)
			}
		}
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
	}
	restartWithNothing(t, table, s)
}

// declare makes the table with all sets that always exist, each changed by change.
func declare(t *testing.T, ns *netns.NS, change func(*nft.Set)) {
	t.Helper()
	socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	ours := nft.Table{Family: unix.NFPROTO_INET, Name: ruleset.TableName}
	ours.Add(&m, 0)
	id := uint32(0)
	ruleset.AllSets(func(s ruleset.Set) {
		id++
		d := s.Declaration()
		change(&d)
		ours.AddSet(&m, &d, id)
	})
	if err := socket.Transact(&m, func(i int, err error) { t.Errorf("message %d: %v", i, err) }); err != nil {
		t.Fatal(err)
	}
}

// TestDriftOfNothing commits tables of which parts are empty and reads them back: an
// object that is there and empty is no change by another program.
func TestDriftOfNothing(t *testing.T) {
	only4, only6, bare := nattest.Settings(), nattest.Settings(), nattest.Settings()
	bare.Egress, bare.Tunnels, bare.Cluster, bare.ServiceCIDRs = nat.Egress{}, nat.Tunnels{}, nil, nil
	for f, set := range map[inet.Family]*nat.Settings{inet.IPv4: &only4, inet.IPv6: &only6} {
		set.Pods.CIDRs = inet.Normalize(set.Pods.CIDRs, f)
		set.Cluster = inet.Normalize(set.Cluster, f)
		set.ServiceCIDRs = inet.Normalize(set.ServiceCIDRs, f)
		set.NodePortAddrs = inet.Normalize(set.NodePortAddrs, f)
		set.Egress.Sources = inet.Normalize(set.Egress.Sources, f)
	}
	for name, set := range map[string]nat.Settings{
		"all": nattest.Settings(), "IPv4": only4, "IPv6": only6, "bare": bare, "counters": nattest.CountingSettings(), "none": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			table := open(t, ns)
			s := plan.NewState()
			unchanged := func(what string) {
				t.Helper()
				settle(t, s, table)
				found, err := table.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if drift := s.Adopt(found); len(drift) > 0 {
					t.Errorf("%s: nobody changed %s", what, drift)
				}
				settle(t, s, table)
			}
			s.Configure(set)
			unchanged("no Services")
			nattest.Variety(s)
			unchanged("Services of every kind")
			s.Configure(nattest.Settings())
			unchanged("with all settings")
			s.Configure(set)
			unchanged("with the settings from before")
			nftCommand(t, ns, "add chain inet fairlead postrouting { policy drop; }")
			found, err := table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if drift := s.Adopt(found).String(); drift != "1 chain (postrouting)" {
				t.Errorf("found %q after a change of the policy", drift)
			}
		})
	}
}
