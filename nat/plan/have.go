// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// holding is what the kernel holds of the table, as far as is known.
type holding struct {
	exists bool // the table and all sets of the layout are there
	// alien says what in the table no fairlead of this layout has made, and
	// cannot be changed in place; then the table is made anew.
	alien     string
	chains    map[string]string // name -> fingerprint of hook and rules
	frontends map[inet.Addr]*installed
	members   map[ruleset.Element]struct{} // elements of kHairpin and kClusterIPs
	ranges    map[ruleset.Set][]netip.Prefix
	verdicts  map[string]int    // verdict -> elements of frontends that carry it
	junk      []ruleset.Element // elements that no State of ours ever wrote
}

// installed is a frontend as the kernel has it.
type installed struct {
	shape    ruleset.Shape // zero while there is no verdict
	verdict  string
	slots    []netip.AddrPort // by slot; see hole and unknown
	locals   []netip.AddrPort
	sources  []netip.Prefix
	remember string // verdict in the sticky map
	owner    string

	// counted says that the slots have counters; but the first switched ones,
	// locals after slots, are already the other way.
	counted  bool
	switched int
}

// emptySlot is an empty slot; unknown is one whose content has to be replaced.
var (
	emptySlot netip.AddrPort
	staleSlot = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
)

// hold groups what was found in the kernel by frontend. Nothing of a table that
// is made anew will survive.
func hold(found *ruleset.Snapshot) *holding {
	r := &holding{exists: found.Exists, alien: found.Alien}
	if r.alien == "" {
		r.chains, r.ranges = found.Chains, found.Ranges
	}
	r.init()
	if r.alien == "" {
		for _, e := range found.Elements {
			r.add(e)
		}
	}
	for _, f := range r.frontends {
		for _, verdict := range []string{f.verdict, f.remember} {
			if verdict != "" {
				r.verdicts[verdict]++
			}
		}
	}
	return r
}

func (r *holding) init() {
	if r.chains == nil {
		r.chains = map[string]string{}
	}
	if r.frontends == nil {
		r.frontends = map[inet.Addr]*installed{}
	}
	if r.members == nil {
		r.members = map[ruleset.Element]struct{}{}
	}
	if r.ranges == nil {
		r.ranges = map[ruleset.Set][]netip.Prefix{}
	}
	r.verdicts = map[string]int{}
}
