// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// State remembers what is wanted and what the kernel has. want moves with
// Configure, Set and Delete; have moves with Acked and Adopt; nothing else
// moves either. Not safe for concurrent use.
type State struct {
	settings Settings
	cluster  []netip.Prefix // settings.Cluster, sorted, without overlaps
	nodes    []netip.Addr
	ports    []HostPort
	want     map[inet.Addr]Frontend
	members  map[element]int // wanted elements of shared sets -> how many frontends want them

	have Ruleset

	sticky int // wanted frontends with Affinity

	// touched holds the frontends whose want and have may differ; early and
	// late hold such elements of shared sets, by when they are written.
	touched queue[inet.Addr]
	early   queue[element] // hairpin: before the frontends
	late    queue[element] // cluster-ips: when all frontends are there
	refused map[inet.Addr]struct{}
	// program is set when the static chains and settings sets may differ.
	program bool
	// idle holds chains that lost their last frontend.
	idle map[string]struct{}
}

// Ruleset is what the kernel holds of the table, as far as is known.
type Ruleset struct {
	exists bool // the table and all sets of the layout are there
	// alien says what in the table no fairlead of this layout has made, and
	// cannot be changed in place; then the table is made anew.
	alien     string
	chains    map[string]string // name -> fingerprint of hook and rules
	frontends map[inet.Addr]*frontend
	members   map[element]struct{} // elements of kHairpin and kClusterIPs
	ranges    map[setID][]netip.Prefix
	verdicts  map[string]int // verdict -> elements of frontends that carry it
	junk      []element      // elements that no State of ours ever wrote
}

// frontend is a frontend as the kernel has it.
type frontend struct {
	shape    shape // zero while there is no verdict
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

// hole is an empty slot; unknown is one whose content has to be replaced.
var (
	hole    netip.AddrPort
	unknown = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
)

// NewState returns a State that wants nothing and has nothing.
func NewState() *State {
	s := &State{
		want:    map[inet.Addr]Frontend{},
		members: map[element]int{},
		refused: map[inet.Addr]struct{}{},
	}
	s.Adopt(&Ruleset{})
	return s
}

// Configure replaces the settings.
func (s *State) Configure(set Settings) {
	s.program = true
	for name := range s.have.chains {
		s.idle[name] = struct{}{} // the program may do without
	}
	if set.BackendCounters != s.settings.BackendCounters {
		for _, key := range slices.SortedFunc(maps.Keys(s.want), inet.Addr.Compare) {
			s.touch(key)
		}
	}
	cluster := append(inet.Normalize(set.Cluster, inet.IPv4), inet.Normalize(set.Cluster, inet.IPv6)...)
	if slices.Equal(cluster, s.cluster) {
		s.settings = set
		return
	}
	// Another set of backends is outside.
	s.recount(-1)
	s.settings, s.cluster = set, cluster
	s.recount(+1)
}

func (s *State) recount(n int) {
	for key, f := range s.want {
		s.countMembers(key, &f, n)
	}
}

// Set makes f what is wanted at key. Setting what is already wanted is free.
func (s *State) Set(key inet.Addr, f Frontend) {
	f = f.canonical(key)
	old, exists := s.want[key]
	if exists && old.equal(&f) {
		return
	}
	s.countMembers(key, &old, -1)
	s.countMembers(key, &f, +1)
	s.countSticky(&old, -1)
	s.countSticky(&f, +1)
	s.want[key] = f
	s.touch(key)
}

// Delete makes key unwanted.
func (s *State) Delete(key inet.Addr) {
	old, exists := s.want[key]
	if !exists {
		return
	}
	s.countMembers(key, &old, -1)
	s.countSticky(&old, -1)
	delete(s.want, key)
	s.touch(key)
}

// Pending returns how many frontends may still differ from the kernel, those
// set aside by Refuse included.
func (s *State) Pending() int { return s.touched.len() + len(s.refused) }

// Remembered returns every pair that a client may be remembered with.
func (s *State) Remembered() map[Pair]struct{} {
	out := map[Pair]struct{}{}
	for key, f := range s.want {
		if f.Affinity == 0 {
			continue
		}
		for b := range f.all() {
			out[Pair{key, b}] = struct{}{}
		}
	}
	return out
}

// Refuse sets the frontends of a batch aside, which the kernel would not take.
// They are tried again when they change, and after Retry.
func (s *State) Refuse(b *Batch) {
	for _, key := range b.Keys() {
		s.touched.remove(key)
		s.refused[key] = struct{}{}
	}
}

// Retry lets the refused frontends be tried again.
func (s *State) Retry() {
	for key := range s.refused {
		s.touch(key)
	}
}

// Adopt replaces have by what was found in the kernel. The next batches repair
// the difference, which is nothing where nobody interfered.
func (s *State) Adopt(found *Ruleset) {
	s.have = *found
	if found.alien != "" {
		s.have = Ruleset{alien: found.alien} // nothing in it will survive
	}
	s.have.init()
	s.touched, s.early, s.late = newQueue[inet.Addr](), newQueue[element](), newQueue[element]()
	s.idle, s.program = map[string]struct{}{}, true
	for key := range s.want {
		s.touch(key)
	}
	for key := range s.have.frontends {
		s.touch(key)
	}
	for e := range s.members {
		s.touchMember(e)
	}
	for e := range s.have.members {
		s.touchMember(e)
	}
	slices.SortFunc(s.touched.order, inet.Addr.Compare)
	slices.SortFunc(s.early.order, compareMembers)
	slices.SortFunc(s.late.order, compareMembers)
	for name := range s.have.chains {
		s.idle[name] = struct{}{}
	}
}

func (r *Ruleset) init() {
	if r.chains == nil {
		r.chains = map[string]string{}
	}
	if r.frontends == nil {
		r.frontends = map[inet.Addr]*frontend{}
	}
	if r.members == nil {
		r.members = map[element]struct{}{}
	}
	if r.ranges == nil {
		r.ranges = map[setID][]netip.Prefix{}
	}
	r.verdicts = map[string]int{}
	for _, f := range r.frontends {
		for _, verdict := range []string{f.verdict, f.remember} {
			if verdict != "" {
				r.verdicts[verdict]++
			}
		}
	}
}

func (s *State) touch(key inet.Addr) {
	delete(s.refused, key)
	s.touched.push(key)
}

func (s *State) touchMember(e element) {
	if e.set.kind == kClusterIPs {
		s.late.push(e)
	} else {
		s.early.push(e)
	}
}

// countMembers adds n to the number of frontends that want each element of the
// shared sets on f's account.
func (s *State) countMembers(key inet.Addr, f *Frontend, n int) {
	count := func(e element) { s.countMember(e, n) }
	if f.Exclusive && !key.IsNodePort() {
		count(element{set: setID{kClusterIPs, inet.FamilyOf(key.IP)}, key: inet.Addr{IP: key.IP}})
	}
	for _, b := range f.Backends {
		if b.OnNode {
			count(hairpinElement(b.Addr()))
		}
		if !s.inCluster(b.Addr()) {
			count(hostElement(kOutside, b.Addr()))
		}
	}
}

func (s *State) countMember(e element, n int) {
	s.members[e] += n
	if s.members[e] == 0 {
		delete(s.members, e)
	}
	s.touchMember(e)
}

// inCluster reports whether the address lies where pods are.
func (s *State) inCluster(ip netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s.cluster, ip, func(p netip.Prefix, ip netip.Addr) int { return p.Addr().Compare(ip) })
	return found || i > 0 && s.cluster[i-1].Contains(ip)
}

func hostElement(k kind, ip netip.Addr) element {
	return element{set: setID{k, inet.FamilyOf(ip)}, client: netip.PrefixFrom(ip, ip.BitLen())}
}

func hairpinElement(ip netip.Addr) element { return hostElement(kHairpin, ip) }
