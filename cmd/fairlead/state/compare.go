// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Answer is the state of one agent of a cluster, or why there is none.
type Answer struct {
	Node    string   `json:"node"`
	Error   string   `json:"error,omitempty"`
	Faults  []string `json:"faults,omitempty"`
	Differs []string `json:"differs,omitempty"` // in which way from most other agents
	State   *State   `json:"state,omitempty"`
}

// ownFlags are the flags whose values are a node's own.
func ownFlags() []string {
	return []string{"node-name", "metrics-bind-address", "secure-metrics-bind-address", "healthz-bind-address", "probe-bind-address", "bind-address", "underlay-address", "underlay-interface"}
}

// Compare fills in faults, and how each agent differs from most others: in version, flags
// or the number of objects that it knows. It sorts the answers by node.
func Compare(list []Answer) {
	slices.SortFunc(list, func(a, b Answer) int { return strings.Compare(a.Node, b.Node) })
	facts := make([]map[string]string, len(list))
	votes := map[string]map[string]int{}
	for i := range list {
		s := list[i].State
		if s == nil {
			continue
		}
		list[i].Faults = append(s.Faults(), s.stuck(list)...)
		facts[i] = s.facts()
		for name, value := range facts[i] {
			if votes[name] == nil {
				votes[name] = map[string]int{}
			}
			votes[name][value]++
		}
	}
	most := map[string]string{}
	for name, values := range votes {
		// Of values that are equally frequent the greater one counts, for an order that
		// does not change.
		most[name] = slices.MaxFunc(slices.Collect(maps.Keys(values)), func(a, b string) int {
			return cmp.Or(cmp.Compare(values[a], values[b]), strings.Compare(a, b))
		})
	}
	for i := range list {
		for _, name := range slices.Sorted(maps.Keys(most)) {
			value, has := facts[i][name]
			switch {
			case facts[i] == nil || value == most[name] && has:
			case !has: // another version may have fewer flags
				list[i].Differs = append(list[i].Differs, "has no "+name)
			default:
				list[i].Differs = append(list[i].Differs, fmt.Sprintf("%s is %s, elsewhere %s", name, value, most[name]))
			}
		}
	}
}

// facts returns what should be equal on all nodes.
func (s *State) facts() map[string]string {
	out := map[string]string{
		"version":             s.Version,
		"number of Services":  fmt.Sprint(s.Counts.Services),
		"number of endpoints": fmt.Sprint(s.Counts.Endpoints),
		"number of nodes":     fmt.Sprint(s.Counts.Nodes),
	}
	for name, value := range s.Flags {
		if slices.Contains(ownFlags(), name) {
			continue
		}
		text, err := json.Marshal(value)
		if err == nil {
			out["--"+name] = string(text)
		}
	}
	return out
}

// Good reports whether the agent answered, is fine, and like most others.
func (a *Answer) Good() bool { return a.State != nil && len(a.Faults) == 0 && len(a.Differs) == 0 }
