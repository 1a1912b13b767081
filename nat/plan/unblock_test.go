// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// program is the table of settings, with all its sets.
func program(set *nat.Settings) *ruleset.Snapshot {
	found := &ruleset.Snapshot{Exists: true, Sets: map[ruleset.Set]bool{}, Chains: map[string]*ruleset.Chain{}}
	ruleset.AllSets(func(s ruleset.Set) { found.Sets[s] = true })
	for _, c := range ruleset.Program(set, true, nil) {
		found.Chains[c.Name] = &c
	}
	return found
}

// known are settings with everything that objects say.
func known() nat.Settings {
	set := nattest.Settings()
	set.NodePortAddrs = nattest.Prefixes("127.0.0.0/8", "192.0.2.1/32")
	set.Egress = nat.Egress{Sources: nattest.Prefixes("10.244.0.0/24"), KeepNodes: true}
	set.Tunnels = nat.Tunnels{Port: 8472, PodInterfaces: []string{"pod*"}, ReplyMark: 1 << 18}
	return set
}

// unknown are the same settings before the objects are read.
func unknown() nat.Settings {
	set := known()
	set.NodePortAddrs, set.Egress, set.Cluster, set.ServiceCIDRs = nil, nat.Egress{}, nil, nil
	return set
}

// TestUnblockKeeps finds the rules that objects ask for, and leaves them in place while the
// objects are unknown, also in a chain that moves.
func TestUnblockKeeps(t *testing.T) {
	was, now := known(), unknown()
	found := program(&was)
	if batch, drift := Unblock(found, &now); len(batch)+len(drift) > 0 {
		t.Errorf("a table in order is changed:\n%s%s", batch, drift)
	}
	chain := found.Chains["postrouting"]
	hook := *chain.Hook
	hook.Priority = 7
	chain.Hook = &hook
	batch, drift := Unblock(found, &now)
	if len(batch) != 3 || batch[2].Verb != ruleset.AddChain || len(batch[2].Chain.Rules) != len(chain.Rules) || drift.String() != "1 chain (postrouting)" {
		t.Errorf("a chain at another hook is not moved with its %d rules:\n%s%s", len(chain.Rules), batch, drift)
	}
}

// TestUnblockLeaves leaves tables alone that it cannot or need not repair.
func TestUnblockLeaves(t *testing.T) {
	set := unknown()
	for name, change := range map[string]func(*ruleset.Snapshot){
		"missing":       func(s *ruleset.Snapshot) { *s = ruleset.Snapshot{} },
		"of an owner":   func(s *ruleset.Snapshot) { s.Flags = ruleset.TableOwned },
		"empty, no set": func(s *ruleset.Snapshot) { s.Chains["services"].Rules = nil; clear(s.Sets) },
		"missing, no set": func(s *ruleset.Snapshot) {
			s.Chains["output"].Rules = nil
			delete(s.Chains, "services")
			delete(s.Sets, ruleset.Set{Kind: ruleset.VIPs, Family: inet.IPv6})
		},
		"another version's": func(s *ruleset.Snapshot) { delete(s.Chains, "invalid"); delete(s.Chains, "remember") },
		"Services' chain": func(s *ruleset.Snapshot) {
			c := &ruleset.Chain{Name: "pick4-4"}
			c.AddFound(1, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
			s.Chains[c.Name] = c
		},
	} {
		found := program(&set)
		change(found)
		if batch, drift := Unblock(found, &set); len(batch)+len(drift) > 0 {
			t.Errorf("%s: %s%s", name, batch, drift)
		}
	}
}

// TestUnblockOpens deletes what blocks, by handle, and the base chain of another program
// unless it leads to chains of ours: that may be one of another version.
func TestUnblockOpens(t *testing.T) {
	set := unknown()
	drops := []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	for rest, want := range map[string]string{
		"":         "flush chain inet fairlead old\ndelete chain inet fairlead old\n",
		"services": "add chain inet fairlead old { policy accept; }\ndelete rule inet fairlead old # 1 rules\n",
	} {
		found := program(&set)
		c := &ruleset.Chain{Name: "old", Hook: &ruleset.Hook{Type: nftables.ChainTypeFilter, Drops: true}}
		c.AddFound(7, drops)
		if rest != "" {
			c.AddFound(8, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: rest}})
		}
		found.Chains[c.Name] = c
		batch, _ := Unblock(found, &set)
		if got := batch.String(); got != want {
			t.Errorf("with a rule to %q:\n%swant\n%s", rest, got, want)
		}
		if strings.Contains(want, "rule") && batch[1].Chain.Rules[0].Handle != 7 {
			t.Errorf("the handle is %d", batch[1].Chain.Rules[0].Handle)
		}
	}
}

// TestUnblockRestores makes chains that have no rule, or that are missing, what the settings
// and their names say, each after those that it goes to.
func TestUnblockRestores(t *testing.T) {
	set := unknown()
	for name, tt := range map[string]struct {
		change func(*ruleset.Snapshot)
		want   []string
	}{
		"output":  {func(s *ruleset.Snapshot) { delete(s.Chains, "output") }, []string{"output"}},
		"jumps":   {func(s *ruleset.Snapshot) { s.Chains["output"].Rules = nil; delete(s.Chains, "services") }, []string{"services", "output"}},
		"allowed": {func(s *ruleset.Snapshot) { s.Chains["allowed4"].Rules = nil }, []string{"allowed4"}},
		"Service": {func(s *ruleset.Snapshot) {
			s.Chains["cluster4-1"] = &ruleset.Chain{Name: "cluster4-1"}
		}, []string{"draw4-1", "pick4-1", "cluster4-1"}},
		"clients": {func(s *ruleset.Snapshot) {
			s.Chains["remember4-60s"] = &ruleset.Chain{Name: "remember4-60s"}
		}, []string{"remember4-60s"}},
		"no map": {func(s *ruleset.Snapshot) {
			s.Chains["cluster4-1"] = &ruleset.Chain{Name: "cluster4-1"}
			delete(s.Sets, ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv4})
		}, nil},
	} {
		found := program(&set)
		tt.change(found)
		batch, _ := Unblock(found, &set)
		var got []string
		for i := range batch {
			if op := &batch[i]; op.Verb != ruleset.AddChain || len(op.Chain.Rules) == 0 {
				t.Errorf("%s: %s", name, op)
			} else {
				got = append(got, op.Chain.Name)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: made %v, want %v", name, got, tt.want)
		}
	}
}

// TestUnblockElements deletes what no objects can ask for, and nothing of a table in order.
func TestUnblockElements(t *testing.T) {
	served := func() *ruleset.Snapshot {
		set := known()
		found := program(&set)
		for _, e := range []ruleset.Element{
			{Set: ruleset.Set{Kind: ruleset.VIPs}, Key: nattest.Addr("10.96.0.1:443", inet.TCP), Verdict: "cluster4-1", Comment: "default/kubernetes:https"},
			{Set: ruleset.Set{Kind: ruleset.Backends}, Key: nattest.Addr("10.96.0.1:443", inet.TCP), Data: netip.MustParseAddrPort("192.0.2.1:6443"), Comment: "default/kubernetes:https"},
			{Set: ruleset.Set{Kind: ruleset.ClusterIPs}, Key: inet.Addr{IP: netip.MustParseAddr("10.96.0.1")}},
			{Set: ruleset.Set{Kind: ruleset.Hairpin}, Client: netip.MustParsePrefix("10.244.0.3/32")},
		} {
			found.Elements.Add(&e)
		}
		found.Ranges = map[ruleset.Set][]netip.Prefix{
			{Kind: ruleset.ServiceCIDRs}:                    nattest.Prefixes("10.96.0.0/16", "10.97.0.0/16"),
			{Kind: ruleset.ServiceCIDRs, Family: inet.IPv6}: nattest.Prefixes("fd00::/112"),
			{Kind: ruleset.Pods}:                            nattest.Prefixes("192.0.2.1/32"),
		}
		return found
	}
	none := func(*ruleset.Snapshot) {}
	element := func(e ruleset.Element) func(*ruleset.Snapshot) {
		return func(s *ruleset.Snapshot) { s.Elements.Add(&e) }
	}
	ranges := func(p ...string) func(*ruleset.Snapshot) {
		return func(s *ruleset.Snapshot) {
			s.Ranges[ruleset.Set{Kind: ruleset.ServiceCIDRs}] = nattest.Prefixes(p...)
		}
	}
	other := nattest.Addr("192.0.2.1:6443", inet.TCP)
	for name, tt := range map[string]struct {
		change func(*ruleset.Snapshot)
		want   string
	}{
		"in order": {none, ""},
		"verdict":  {element(ruleset.Element{Set: ruleset.Set{Kind: ruleset.VIPs}, Key: other, Verdict: "refuse"}), "1 element (vips4 192.0.2.1 . tcp . 6443 : goto refuse)"},
		"backend":  {element(ruleset.Element{Set: ruleset.Set{Kind: ruleset.Backends}, Key: other, Data: netip.MustParseAddrPort("192.0.2.9:1")}), "1 element (backends4 192.0.2.1 . tcp . 6443 . 0 : 192.0.2.9 . 1)"},
		"named":    {element(ruleset.Element{Set: ruleset.Set{Kind: ruleset.VIPs}, Key: other, Verdict: "refuse", Comment: "default/mine:a"}), ""},
		"refused":  {element(ruleset.Element{Set: ruleset.Set{Kind: ruleset.ClusterIPs}, Key: inet.Addr{IP: other.IP}}), "1 element (cluster-ips4 192.0.2.1)"},
		"address":  {ranges("10.96.0.0/16", "192.0.2.7/32"), "1 element (service-cidrs4 192.0.2.7)"},
		"served":   {ranges("10.96.0.1/32"), ""},
		"servers":  {ranges("10.96.0.0/16", "192.0.2.0/24"), "1 element (service-cidrs4 192.0.2.0/24)"},
		"all":      {ranges("0.0.0.0/0"), "1 element (service-cidrs4 0.0.0.0/0)"},
		"stray": {func(s *ruleset.Snapshot) {
			s.Strays = []ruleset.Stray{{Set: ruleset.Set{Kind: ruleset.VIPs}, Flags: 2}, {Set: ruleset.Set{Kind: ruleset.Affinity}, Key: "x"}, {Set: ruleset.Set{Kind: ruleset.Pods}}}
		}, "1 element (vips4 *)"},
		"spoilt":     {func(s *ruleset.Snapshot) { s.Strays = []ruleset.Stray{{Set: ruleset.Set{Kind: ruleset.ServiceCIDRs}}} }, "1 element (ranges of service-cidrs4)"},
		"missing":    {func(s *ruleset.Snapshot) { s.Exists = false }, ""},
		"of another": {func(s *ruleset.Snapshot) { s.Flags = ruleset.TableOwned; ranges("0.0.0.0/0")(s) }, ""},
	} {
		found := served()
		tt.change(found)
		batch, drift := UnblockElements(found)
		if drift.String() != tt.want || (len(batch) > 0) != (tt.want != "") || len(batch) > 1 {
			t.Errorf("%s: found %q, want %q:\n%s", name, drift, tt.want, batch)
		}
	}
}
