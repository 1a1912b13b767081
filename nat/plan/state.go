// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package plan compares the wanted table with the table in the kernel and returns the
// changes step by step. It does no I/O.
package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// State remembers the wanted table and the table in the kernel. Configure, Prepare,
// Set, Delete, Leave, SetNodes, ChangeNodes, ChangeGateways and SetHostPorts change the wanted table. Acked and Adopt change
// the record of the kernel's table. No other method changes either. Only one
// goroutine may use a State at a time.
type State struct {
	settings nat.Settings
	cluster  []netip.Prefix // settings.Cluster, sorted, without overlaps
	nodes    map[netip.Addr]struct{}
	gateways map[netip.Addr]netip.Addr
	ports    []nat.HostPort
	want     map[inet.Addr]nat.Frontend
	members  members
	// prepared and leaving are exchanges of members that are not over; see Prepare and Leave.
	prepared map[inet.Addr]*exchange
	leaving  []leaving

	have holding

	// slots counts the wanted backends of each map, and drawn says that the chains for each
	// size of the large ones are there; see fewSlots.
	slots slotCounts
	drawn bool

	sticky int // wanted frontends with Affinity
	shares shares

	buffers  buffers
	arranged arrangements
	// onDemand counts the wanted uses of each set that exists on demand.
	onDemand map[ruleset.Set]int

	// dirty holds the frontends whose wanted and present state may differ.
	dirty lanes
	// held counts, by address, whose frontends are not all wanted yet; see Hold.
	held    map[netip.Addr]int
	refused map[inet.Addr]struct{}
	traffic map[inet.Addr]uint64 // see SetTraffic
	// refusedChains are chains that the kernel refused, with their fingerprints.
	refusedChains map[string]string
	// refusedSets are sets on demand that the kernel refused, and sets whose ranges it refused.
	refusedSets map[ruleset.Set]struct{}
	// refusedJunk is set while the kernel refuses to delete elements that no batch of ours
	// writes, and refusedIdle while it refuses to delete what has no user.
	refusedJunk, refusedIdle bool
	// program is set when the static chains and the sets of settings may differ.
	program bool
	// late is set while only vital frontends are marked, because the table is missing.
	late bool
	// idle is set when chains may have lost their last user.
	idle    bool
	batches int // since idle was set or looked at
}

// NewState returns a State that wants nothing and has nothing.
func NewState() *State {
	return &State{
		nodes:         map[netip.Addr]struct{}{},
		gateways:      map[netip.Addr]netip.Addr{},
		want:          map[inet.Addr]nat.Frontend{},
		members:       newMembers(),
		prepared:      map[inet.Addr]*exchange{},
		shares:        newShares(),
		onDemand:      map[ruleset.Set]int{},
		have:          newHolding(),
		dirty:         newLanes(),
		held:          map[netip.Addr]int{},
		refused:       map[inet.Addr]struct{}{},
		refusedChains: map[string]string{},
		refusedSets:   map[ruleset.Set]struct{}{},
		slots:         slotCounts{},
		arranged:      arrangements{},
		program:       true,
	}
}

// Pending returns how many frontends may still differ from the kernel, and how many
// chains, sets and elements of shared sets the kernel refused. Frontends set aside by
// Refuse are included.
func (s *State) Pending() int {
	return countTrue(s.refusedJunk, s.refusedIdle) + s.dirty.len() + len(s.refused) + len(s.refusedChains) + len(s.refusedSets) + len(s.members.refused)
}

func countTrue(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

// Remembered returns with which backends clients may be remembered.
func (s *State) Remembered() nat.Remembered {
	out := nat.Remembered{}
	for key, f := range s.want {
		out.Add(key, &f)
	}
	return out
}

// Refuse sets a frontend aside that the kernel refused. It is tried again when it
// changes, and after Retry.
func (s *State) Refuse(key inet.Addr) {
	s.dirty.remove(key)
	s.refused[key] = struct{}{}
}

// RefuseChain sets a chain aside that the kernel refused: Next leaves it out,
// together with what needs it, until its content changes and after Retry.
func (s *State) RefuseChain(c *ruleset.Chain) { s.refusedChains[c.Name] = c.Fingerprint() }

// RefuseSet sets a set on demand aside, together with the frontends that need it, or the
// ranges of a set, until Retry. It reports false for a set that was set aside already.
func (s *State) RefuseSet(set ruleset.Set) bool {
	if _, again := s.refusedSets[set]; again {
		return false
	}
	s.refusedSets[set] = struct{}{}
	s.program = true
	return true
}

// hasJunk reports whether elements are to be deleted that no batch of ours writes and that no
// frontend has.
func (s *State) hasJunk() bool { return len(s.have.junk) > 0 && !s.refusedJunk }

// RefuseJunk sets the elements aside that no batch of ours writes, until Retry or Adopt.
func (s *State) RefuseJunk() { s.refusedJunk, s.program = true, true }

// RefuseIdle leaves what has no user in place, until Retry or Adopt.
func (s *State) RefuseIdle() { s.refusedIdle = true }

// RefuseMember sets an element of a shared set aside until Retry.
func (s *State) RefuseMember(e *ruleset.Element) { s.members.refuse(e) }

// Retry lets everything that was refused be tried again.
func (s *State) Retry() {
	s.members.retry()
	for key := range s.refused {
		s.touch(key)
	}
	s.program, s.drawn = s.program || len(s.refusedChains)+len(s.refusedSets) > 0, false
	clear(s.refusedChains)
	clear(s.refusedSets)
	s.forgive()
}

// forgive lets be deleted again what the kernel refused to delete.
func (s *State) forgive() {
	s.program, s.idle = s.program || s.refusedJunk, s.idle || s.refusedIdle
	s.refusedJunk, s.refusedIdle = false, false
}

func (s *State) touch(key inet.Addr) {
	delete(s.refused, key)
	s.dirty.push(key, s.ownerOf(key), s.want[key].First, s.have.frontends[key] != nil)
}

// touchLast is touch for a frontend that did not just change.
func (s *State) touchLast(key inet.Addr) {
	delete(s.refused, key)
	s.dirty.pushLast(key, s.want[key].First)
}

// Waits reports whether a frontend may still differ from the kernel. One that was refused
// does not wait.
func (s *State) Waits(key inet.Addr) bool { return s.dirty.has(key) }

// Loading reports whether what a load of the table found, or what does not belong to one
// frontend, still has to be written.
func (s *State) Loading() bool { return s.program || s.late || s.hasJunk() || s.dirty.rest.len() > 0 }

// Hold keeps an address from becoming exclusive, or from ceasing to be, until Release is
// called as often: its frontends are set or deleted one after the other.
func (s *State) Hold(ip netip.Addr) { s.held[ip]++ }

// Release is the opposite of Hold.
func (s *State) Release(ip netip.Addr) {
	if s.held[ip]--; s.held[ip] <= 0 {
		delete(s.held, ip)
	}
}

// SetTraffic says how many connections frontends had, so that Adopt has the busiest ones
// written first. It keeps the map.
func (s *State) SetTraffic(connections map[inet.Addr]uint64) { s.traffic = connections }

// hasSticky reports whether frontends that keep clients are wanted, or still in the
// kernel.
func (s *State) hasSticky() bool { return s.sticky > 0 || s.have.hasSticky() }

// isRefused reports whether the kernel refused the chain in its wanted form, or
// refused a missing chain that it goes to.
func (s *State) isRefused(c *ruleset.Chain) bool {
	if len(s.refusedChains) == 0 {
		return false
	}
	if s.refusedChains[c.Name] == c.Fingerprint() {
		return true
	}
	refused := false
	c.Uses(func(string) {}, func(name string) {
		_, is := s.refusedChains[name]
		_, have := s.have.chains[name]
		refused = refused || is && !have
	})
	return refused
}

// Owner returns the comment on a frontend that the kernel has, empty for none.
func (s *State) Owner(key inet.Addr) string {
	if have := s.have.frontends[key]; have != nil {
		return have.owner
	}
	return ""
}

// HostPortOwners returns the comments on the host ports that the kernel has.
func (s *State) HostPortOwners() map[inet.Addr]string {
	out := map[inet.Addr]string{}
	for n, e := range s.members.others {
		if m := (member{set: e.Set, other: n}); e.Set.IsHostPorts() && s.members.all.get(&m).have {
			out[e.Key] = e.Comment
		}
	}
	return out
}

// ownerOf returns who a frontend belongs to, or belonged to.
func (s *State) ownerOf(key inet.Addr) string {
	if f, wanted := s.want[key]; wanted {
		return f.Owner
	}
	return s.Owner(key)
}
