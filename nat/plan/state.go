// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package plan compares what is wanted of the table with what the kernel has, and
// says step by step how to get there. It does no I/O.
package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// State remembers what is wanted and what the kernel has. want moves with
// Configure, Set and Delete; have moves with Acked and Adopt; nothing else
// moves either. Not safe for concurrent use.
type State struct {
	settings nat.Settings
	cluster  []netip.Prefix // settings.Cluster, sorted, without overlaps
	nodes    []netip.Addr
	ports    []nat.HostPort
	want     map[inet.Addr]nat.Frontend
	members  map[ruleset.Element]int // wanted elements of shared sets -> how many frontends want them

	have holding

	sticky int // wanted frontends with Affinity

	// touched holds the frontends whose want and have may differ; early and
	// late hold such elements of shared sets, by when they are written.
	touched queue[inet.Addr]
	early   queue[ruleset.Element] // hairpin: before the frontends
	late    queue[ruleset.Element] // cluster-ips: when all frontends are there
	refused map[inet.Addr]struct{}
	// program is set when the static chains and settings sets may differ.
	program bool
	// idle holds chains that lost their last frontend.
	idle map[string]struct{}
}

// NewState returns a State that wants nothing and has nothing.
func NewState() *State {
	s := &State{
		want:    map[inet.Addr]nat.Frontend{},
		members: map[ruleset.Element]int{},
		refused: map[inet.Addr]struct{}{},
	}
	s.Adopt(&ruleset.Snapshot{})
	return s
}

// Pending returns how many frontends may still differ from the kernel, those
// set aside by Refuse included.
func (s *State) Pending() int { return s.touched.len() + len(s.refused) }

// Remembered returns every pair that a client may be remembered with.
func (s *State) Remembered() map[nat.Pair]struct{} {
	out := map[nat.Pair]struct{}{}
	for key, f := range s.want {
		if f.Affinity == 0 {
			continue
		}
		for _, b := range f.Backends {
			out[nat.Pair{Frontend: key, Backend: b.AddrPort}] = struct{}{}
		}
		for _, b := range f.LocalBackends {
			out[nat.Pair{Frontend: key, Backend: b, Local: true}] = struct{}{}
		}
	}
	return out
}

// Refuse sets the frontends of a batch aside, which the kernel would not take.
// They are tried again when they change, and after Retry.
func (s *State) Refuse(b *Step) {
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

func (s *State) touch(key inet.Addr) {
	delete(s.refused, key)
	s.touched.push(key)
}

func (s *State) touchMember(e ruleset.Element) {
	if e.Set.Kind == ruleset.ClusterIPs {
		s.late.push(e)
	} else {
		s.early.push(e)
	}
}
