// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"fairlead/internal/inet"
)

// Planner makes one Plan, and follows small changes of the nodes.
type Planner struct {
	Plan
	problems
	cfg  Config
	net  Underlay
	self *Node
	own  [2]netip.Addr // addresses by which self sends
	mtu  [2]int        // of the devices
	vtep [2]netip.Addr // own VTEP addresses, by family of pods
	// carries tells for each device which families of pods it carries.
	carries [2][2]bool

	// Update needs the rest.
	tangle   tangle
	owners   *claims
	book     addressBook
	known    map[string]*knownNode // peers
	pass     uint64
	attached [2][2]bool // carried without any peer
	touched  map[Key]struct{}
}

// knownNode is a peer of the plan.
type knownNode struct {
	Node
	pass uint64 // of the last update that listed it
}

// Underlay returns what the plan was made for.
func (p *Planner) Underlay() Underlay { return p.net }

// Problems returns what stands in the way.
func (p *Planner) Problems() []Problem { return p.problems }

// put plans an entry, and notes its key for Update.
func (p *Planner) put(e Entry) {
	p.Entries.Put(e)
	if p.touched != nil {
		p.touched[e.Key()] = struct{}{}
	}
}

// carry plans a device for the family of a pod address, with the VTEP address of that
// family. It returns false if the device cannot carry the family.
func (p *Planner) carry(device inet.Family, pod netip.Addr) bool {
	pods := inet.FamilyOf(pod)
	if pods == inet.IPv6 && p.mtu[device] < minMTU6 {
		return false // measure reported it
	}
	if !p.carries[device][pods] {
		p.carries[device][pods] = true
		p.put(Entry{Kind: Address, Device: p.cfg.device(device), Dst: Single(p.vtep[pods])})
	}
	return true
}
