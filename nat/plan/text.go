// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Text returns the wanted table in nft's language, as nft lists it after the
// State was committed to an empty kernel; the elements of a set are sorted.
func (s *State) Text() string {
	scratch := NewState()
	scratch.Configure(s.settings)
	scratch.SetNodes(slices.Collect(maps.Keys(s.nodes)))
	for node, via := range s.gateways {
		scratch.ChangeGateways([]nat.Gateway{{Node: node, Address: via}})
	}
	scratch.SetHostPorts(s.ports)
	for _, key := range slices.SortedFunc(maps.Keys(s.want), inet.Addr.Compare) {
		scratch.Set(key, s.want[key])
	}
	for b := scratch.Next(0); b != nil; b = scratch.Next(0) {
		scratch.Acked(b)
	}
	chains, draws := scratch.wantedChains(), scratch.drawChains()
	for _, set := range ruleset.PickSets() {
		for _, c := range draws[set] {
			if !slices.ContainsFunc(chains, func(known ruleset.Chain) bool { return known.Name == c.Name }) {
				chains = append(chains, c)
			}
		}
	}
	return ruleset.WriteTable(scratch.setsOnDemand(), scratch.have.elements(scratch.members.present()), chains)
}

// elements returns every element as text, by set and sorted.
func (h *holding) elements(shared []ruleset.Element) map[ruleset.Set][]string {
	out := map[ruleset.Set][]string{}
	note := func(e ruleset.Element) { out[e.Set] = append(out[e.Set], e.String()) }
	for _, key := range slices.SortedFunc(maps.Keys(h.frontends), inet.Addr.Compare) {
		h.frontends[key].each(key, note)
	}
	for _, e := range shared {
		note(e)
	}
	for set, ranges := range h.ranges {
		for _, p := range ranges {
			note(ruleset.Element{Set: set, Client: p})
		}
	}
	return out
}

// each calls f for every element of the frontend.
func (f *installed) each(key inet.Addr, note func(ruleset.Element)) {
	p := planner{key: key, now: *f}
	if f.verdict != "" {
		note(p.verdictElement())
	}
	if f.remember != "" {
		note(p.affinityElement())
	}
	slots := func(set ruleset.Set, list []slot) {
		for i, b := range list {
			if !b.isEmpty() {
				note(p.slotElement(set, i, b))
			}
		}
	}
	slots(ruleset.BackendsOf(key), f.slots)
	slots(ruleset.LocalsOf(key), f.locals)
	for _, src := range f.sources {
		note(p.sourceElement(src))
	}
}
