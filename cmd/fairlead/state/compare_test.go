// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestStuck: a watch that is silent for minutes while another agent has a later revision of
// the same kind is a fault. One that is only behind, or only silent, is none.
func TestStuck(t *testing.T) {
	agent := func(node, revision string, silent float64) Answer {
		return Answer{Node: node, State: &State{Ready: true, APIServer: &APIServer{
			Reached: new(time.Time), Watches: []Watch{{Kind: "nodes", Revision: "5000", SilentSeconds: 10}, {Kind: "services", Revision: revision, SilentSeconds: silent}},
		}}}
	}
	for _, tt := range []struct {
		name, revision string
		silent         float64
		want           string
	}{
		{"stuck", "999", 301, "[services: nothing was heard for 5m1s, since revision 999; b has 1000]"},
		{"bookmark is to come", "999", 60, "[]"},
		{"nothing changes", "1000", 301, "[]"},
		{"ahead", "1001", 301, "[]"},
		{"no number", "x", 301, "[]"},
		{"not known", "", 301, "[]"},
	} {
		list := []Answer{{Node: "c", Error: "no route to host"}, agent("b", "1000", 1), agent("a", tt.revision, tt.silent)}
		Compare(list)
		if got := fmt.Sprint(list[0].Faults); got != tt.want || len(list[1].Faults) > 0 {
			t.Errorf("%s: faults %s and %s, want %s", tt.name, got, list[1].Faults, tt.want)
		}
	}
}

// TestCompare finds the one agent that differs, in each way, and leaves values alone that
// are a node's own.
func TestCompare(t *testing.T) {
	agent := func(node string, change func(*State)) Answer {
		s := &State{
			Version: "1.0", Node: node, Ready: true, Counts: Counts{Services: 10, Endpoints: 20, Nodes: 4},
			Flags: map[string]any{"node-name": node, "overlay": "vxlan", "cluster-cidr": []any{"10.244.0.0/16"}, "metrics-bind-address": node, "secure-metrics-bind-address": node + ":10249"},
		}
		change(s)
		return Answer{Node: node, State: s}
	}
	same := func(*State) {}
	list := []Answer{
		agent("d", func(s *State) { s.Version, s.Flags["overlay"] = "0.9", "host-gw"; delete(s.Flags, "cluster-cidr") }),
		{Node: "e", Error: "no route to host"},
		agent("c", func(s *State) { s.Counts.Services, s.Ready, s.Unready = 9, false, "slow" }),
		agent("a", same), agent("b", same),
	}
	Compare(list)
	for i, want := range []struct{ node, differs, faults string }{
		{"a", "[]", "[]"}, {"b", "[]", "[]"},
		{"c", "[number of Services is 9, elsewhere 10]", "[the node is not ready: slow]"},
		{"d", `[has no --cluster-cidr --overlay is "host-gw", elsewhere "vxlan" version is 0.9, elsewhere 1.0]`, "[]"},
		{"e", "[]", "[]"},
	} {
		a := list[i]
		if a.Node != want.node || fmt.Sprint(a.Differs) != want.differs || fmt.Sprint(a.Faults) != want.faults {
			t.Errorf("%s differs %q, faults %q; want %+v", a.Node, a.Differs, a.Faults, want)
		}
	}
	Compare(nil)
	one := []Answer{agent("a", same)}
	two := []Answer{agent("b", func(s *State) { s.Version = "2" }), agent("a", same)}
	Compare(one)
	Compare(two)
	again := []Answer{agent("a", same), agent("b", func(s *State) { s.Version = "2" })}
	Compare(again)
	if len(one[0].Differs) != 0 || len(two[0].Differs) != 1 || !slices.Equal(two[0].Differs, again[0].Differs) {
		t.Errorf("one agent: %q; two: %q, %q", one[0].Differs, two[0].Differs, again[0].Differs)
	}
}
