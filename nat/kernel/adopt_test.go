// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// tableHandle returns the handle of the table, which changes when it is made anew.
func tableHandle(t *testing.T, ns *netns.NS) string {
	t.Helper()
	out, err := nstest.Command(t, ns, "nft", "-a", "list", "table", "inet", "fairlead").Output()
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`# handle \d+`).FindString(string(out))
}

// TestAdopt damages the table in every kind of way while nobody watches, and starts
// again with a State that has one frontend less. The table is mended and not made
// anew, and the frontend is gone.
func TestAdopt(t *testing.T) {
	ghost := nattest.Addr("10.96.0.200:80", inet.TCP)
	for _, tt := range []struct {
		name   string
		damage []string
	}{
		{"nothing", nil},
		{"missing set", []string{"flush chain inet fairlead services", "delete map inet fairlead hostip-ports4"}},
		{"missing sets", []string{"flush chain inet fairlead services", "delete map inet fairlead nodeports6", "delete map inet fairlead vips6"}},
		{"range that is no prefix", []string{"add element inet fairlead sources4-24 { 203.0.113.5 . tcp . 443 . 192.0.3.7 }"}},
		{"source range of nobody", []string{"add element inet fairlead sources4-24 { 192.0.2.9 . tcp . 443 . 192.0.3.0 }"}},
		{"pods that are no prefix", []string{"add element inet fairlead pods4 { 10.200.0.1-10.200.0.3 }"}},
		{"foreign set", []string{"add set inet fairlead mine { type ipv4_addr; }", "insert rule inet fairlead services ip saddr @mine drop"}},
		{"foreign chains", []string{
			"add chain inet fairlead mine { type filter hook forward priority 0; policy drop; }", "add chain inet fairlead yours",
			"add rule inet fairlead mine jump yours", "add rule inet fairlead yours ip saddr 10.0.0.1 drop", "insert rule inet fairlead services jump yours",
			"add chain inet fairlead theirs", "add map inet fairlead ours { type inet_service : verdict; }",
			"add element inet fairlead ours { 80 : goto theirs, 81 : goto refuse }", "add rule inet fairlead yours tcp dport vmap @ours"}},
		{"foreign anonymous set", []string{"insert rule inet fairlead services ip saddr { 10.0.0.1, 10.0.0.2 } drop"}},
		{"policy drop", []string{"add chain inet fairlead postrouting { policy drop; }"}},
		{"dormant", []string{"add table inet fairlead { flags dormant; }"}},
		{"dormant and flushed", []string{"flush chain inet fairlead services", "add table inet fairlead { flags dormant; }"}},
		{"size", []string{
			"flush chain inet fairlead postrouting", "delete set inet fairlead hairpin4",
			"add set inet fairlead hairpin4 { type ipv4_addr . ipv4_addr; size 100; }",
			"add rule inet fairlead postrouting ip saddr . ip daddr @hairpin4 masquerade"}},
		{"size of a verdict map", []string{
			"flush chain inet fairlead services", "delete map inet fairlead vips4",
			"add map inet fairlead vips4 { type ipv4_addr . inet_proto . inet_service : verdict; size 10; }",
			"add element inet fairlead vips4 { 10.96.0.10 . udp . 53 : goto refuse }",
			"add rule inet fairlead services ip daddr . meta l4proto . th dport vmap @vips4"}},
		{"timeout", []string{
			"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
			"add set inet fairlead outside-backends4 { type ipv4_addr; flags timeout; timeout 1h; }", "add element inet fairlead outside-backends4 { 198.51.100.9 }"}},
		{"comment", []string{
			"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }",
			`add element inet fairlead vips4 { 10.96.0.10 . udp . 53 comment "mine" : goto cluster4-2 }`}},
		{"comment of a shared element", []string{
			"delete element inet fairlead cluster-ips4 { 10.96.0.10 }", `add element inet fairlead cluster-ips4 { 10.96.0.10 comment "mine" }`}},
		{"other verdict", []string{
			"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }",
			`add element inet fairlead vips4 { 10.96.0.10 . udp . 53 comment "kube-system/kube-dns:dns" : accept }`}},
		{"jump", []string{
			"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }",
			`add element inet fairlead vips4 { 10.96.0.10 . udp . 53 comment "kube-system/kube-dns:dns" : jump cluster4-2 }`}},
		{"hook", []string{
			"delete chain inet fairlead prerouting", "add chain inet fairlead prerouting { type filter hook prerouting priority -50; }"}},
		{"chain without hook", []string{"delete chain inet fairlead prerouting", "add chain inet fairlead prerouting"}},
		{"chain with a hook", []string{
			"flush chain inet fairlead tunnels", "delete chain inet fairlead tunnel-in",
			"add chain inet fairlead tunnel-in { type filter hook prerouting priority -50; }"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			table := open(t, ns)
			s := plan.NewState()
			s.Configure(nattest.Settings())
			nattest.Variety(s)
			settle(t, s, table)
			want, handle := nattest.Blocks(list(t, ns)), tableHandle(t, ns)
			s.Set(ghost, nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/ghost", Backends: nattest.Pods(3)})
			settle(t, s, table)
			for _, command := range tt.damage {
				nftCommand(t, ns, command)
			}

			again := plan.NewState()
			again.Configure(nattest.Settings())
			nattest.Variety(again)
			found, err := table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			again.Adopt(found)
			settle(t, again, table)
			if diff := cmp.Diff(want, nattest.Blocks(list(t, ns))); diff != "" {
				t.Errorf("after the repair (-before +after):\n%s", diff)
			}
			if got := tableHandle(t, ns); got != handle {
				t.Errorf("the table was made anew: %s, was %s", got, handle)
			}
			restartWithNothing(t, table, again)
		})
	}
}

// restartWithNothing loads the table once more and expects no difference.
func restartWithNothing(t *testing.T, table *kernel.Table, s *plan.State) {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Adopt(found)) > 0 {
		t.Error("Adopt reports a difference from what was committed")
	}
	if b := s.Next(0); b != nil && len(b.Batch) > 0 {
		t.Errorf("there is something left to do:\n%s", b)
	}
}

// TestAdoptRename gives every frontend another owner: each batch leaves a frontend
// with a verdict that has one.
func TestAdoptRename(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	f := nat.Frontend{Policy: nat.Internal, Owner: "default/old", Backends: nattest.Pods(1500), Restricted: true, Sources: nattest.Prefixes("192.0.2.0/24")}
	s.Set(key, f)
	settle(t, s, table)
	f.Owner = "default/new"
	f.Sources = nattest.Prefixes("192.0.2.0/25", "198.51.0.0/16")
	s.Set(key, f)
	n := 0
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		s.Acked(b)
		n++
		if listing := list(t, ns); strings.Count(listing, "10.96.0.1 . tcp . 80 comment") != 1 || strings.Count(listing, " : 10.244.") != 1500 {
			t.Errorf("after batch %d the frontend is half made", n)
		}
	}
	if n < 2 {
		t.Errorf("%d batches, want several", n)
	}
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("(-text +nft):\n%s", diff)
	}
}

// TestAdoptOwned meets a table that another program owns, and one that outlived its
// owner. The first is an error that names the owner; the second is made anew.
func TestAdoptOwned(t *testing.T) {
	ns := nstest.New(t)
	owner, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	its := nft.Table{Family: unix.NFPROTO_INET, Name: "fairlead"}
	its.Add(&m, ruleset.TableOwned|ruleset.TablePersist)
	its.AddChain(&m, "mine", nil)
	if err := owner.Transact(&m, func(_ int, err error) { t.Skipf("the kernel refuses an owned table that persists (6.9): %v", err) }); err != nil {
		t.Fatal(err)
	}
	table := open(t, ns)
	if _, err := table.Load(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprint(owner.Port())) {
		t.Errorf("Load of a table with an owner: %v", err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	s.Adopt(found)
	settle(t, s, table)
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("(-text +nft):\n%s", diff)
	}
	restartWithNothing(t, table, s)
}
