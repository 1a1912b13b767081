// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// fillClients counts as full what clients fill of the maps that all Services use.
func (w *walker) fillClients() {
	ruleset.AllSets(func(s ruleset.Set) {
		if s.Spec().Learnt {
			w.elements[s.String()] = int(s.Declaration().Size)
		}
	})
}

// stickyKinds are keys of both families, with an address and without, and policies.
func stickyKinds() map[inet.Addr]nat.TrafficPolicy {
	return map[inet.Addr]nat.TrafficPolicy{
		nattest.Addr("203.0.113.9:80", inet.TCP): nat.External, nattest.Addr("203.0.113.10:80", inet.TCP): nat.Local,
		nattest.Addr("[2001:db8::9]:80", inet.TCP): nat.External, nattest.Addr("[2001:db8::10]:80", inet.TCP): nat.Local,
		nattest.Addr("0.0.0.0:30080", inet.TCP): nat.External, nattest.Addr("0.0.0.0:30081", inet.TCP): nat.Local,
		nattest.Addr("[::]:30080", inet.TCP): nat.External, nattest.Addr("[::]:30081", inet.TCP): nat.Local,
	}
}

func stickyPods(key inet.Addr, n int) []nat.Backend {
	if inet.FamilyOf(key.IP) == inet.IPv4 {
		return nattest.Pods(n)
	}
	out := make([]nat.Backend, n)
	for i := range out {
		out[i] = nattest.Backends(fmt.Sprintf("[fd00:10:244::%x]:80", i+1))[0]
	}
	return out
}

// TestNewStickyWalksNothing: the clients of others fill all maps that Services share. Tenants make
// sticky Services of each kind and of several sizes, with maps of their own and, in a namespace that has
// used up its maps, without. They change the timeouts, and take the Services away again. The kernel
// goes through no map of clients for it.
func TestNewStickyWalksNothing(t *testing.T) {
	s, w := manyFrontends(10), newWalker()
	for i := range mostOfNamespace {
		s.Set(laneKey(500+i), nat.Frontend{Policy: nat.Internal, Owner: fmt.Sprintf("full/s%d", i), Affinity: time.Hour, Backends: nattest.Pods(3)})
	}
	w.drain(s)
	w.fillClients()
	w.counts = func(set string) bool { return strings.Contains(set, "affinity") } // draws have tests of their own
	own, common := 0, 0
	for round := range 6 {
		for key, policy := range stickyKinds() {
			f := nat.Frontend{Policy: policy, Owner: fmt.Sprintf("evil/s%d", round), Affinity: time.Duration(10+round) * time.Second}
			if round%2 == 0 {
				f.Owner = "full/another"
			}
			f.Backends = stickyPods(key, 1<<round)
			if policy == nat.Local {
				for _, b := range f.Backends {
					f.LocalBackends = append(f.LocalBackends, b.AddrPort())
				}
			}
			s.Set(key, f)
			w.drain(s)
			f.Affinity += time.Hour
			s.Set(key, f)
			w.drain(s)
			if strings.Contains(s.have.frontends[key].verdict, "sticky-"+fmt.Sprint(s.want[key].Share)+"-") {
				own++
			} else {
				common++
			}
			if round < 4 {
				s.Delete(key)
				w.drain(s) // with what is idle
			}
		}
	}
	if own == 0 || common == 0 || w.most > 0 {
		t.Errorf("the kernel goes through %d clients in one transaction, for %d frontends with maps of their own and %d without", w.most, own, common)
	}
}
