// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

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
		"missing":         func(s *ruleset.Snapshot) { *s = ruleset.Snapshot{} },
		"of an owner":     func(s *ruleset.Snapshot) { s.Flags = ruleset.TableOwned },
		"empty, no set":   func(s *ruleset.Snapshot) { s.Chains["services"].Rules = nil; clear(s.Sets) },
		"empty, no chain": func(s *ruleset.Snapshot) { s.Chains["output"].Rules = nil; delete(s.Chains, "services") },
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
