// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

func stickyFrontend(owner string) nat.Frontend {
	return nat.Frontend{Policy: nat.Internal, Owner: owner, Affinity: time.Hour, Backends: nattest.Pods(2)}
}

// TestShares gives each Service affinity maps of its own, whatever its ports, until a
// namespace or all of them have as many as they may.
func TestShares(t *testing.T) {
	s := NewState()
	s.Configure(nattest.Settings())
	n := uint16(0)
	set := func(owner string) (inet.Addr, uint8) {
		n++
		key := nattest.Addr(fmt.Sprintf("10.96.0.1:%d", n), inet.TCP)
		s.Set(key, stickyFrontend(owner))
		return key, s.want[key].Share
	}
	numbers := map[uint8]string{}
	var keys []inet.Addr
	for tenant := range 5 {
		for i := range mostOfNamespace + 3 {
			service := fmt.Sprintf("tenant-%d/web-%d", tenant, i)
			key, first := set(service + ":http")
			_, second := set(service + ":https")
			keys = append(keys, key)
			if first != second {
				t.Errorf("ports of %s have %d and %d", service, first, second)
			}
			alone := i < mostOfNamespace && tenant < 4
			if (first > 0) != alone {
				t.Errorf("%s has %d, want maps of its own: %v", service, first, alone)
			}
			if other := numbers[first]; first > 0 && other != "" {
				t.Errorf("%s and %s have %d", service, other, first)
			}
			numbers[first] = service
		}
	}
	dry(s)
	before := maps.Clone(s.want)

	// An agent that finds these in the kernel keeps the numbers, in whatever order
	// the Services come.
	again := NewState()
	again.Configure(nattest.Settings())
	again.have = s.have
	for key, f := range before {
		again.Set(key, f)
	}
	again.adoptShares()
	for _, key := range keys {
		if got, want := again.want[key].Share, before[key].Share; want > 0 && got != want {
			t.Errorf("%s has %d after a restart, had %d", key, got, want)
		}
	}

	for key := range before {
		s.Delete(key)
	}
	dry(s)
	for set := range s.have.sets {
		if set.OnDemand() {
			t.Errorf("%s is left over", set)
		}
	}
	if len(s.shares.of) > 0 {
		t.Errorf("%d Services still have maps", len(s.shares.of))
	}
	if _, number := set("tenant-0/web-0"); number != 1 {
		t.Errorf("the next Service has %d, want 1", number)
	}
}

// TestSharesAtStart: an agent that starts gives each Service what it had in the kernel, even
// if those without maps of their own come first.
func TestSharesAtStart(t *testing.T) {
	key := func(i int) inet.Addr { return nattest.Addr(fmt.Sprintf("10.96.0.1:%d", 1+i), inet.TCP) }
	s := NewState()
	s.Configure(nattest.Settings())
	const n = mostOfNamespace + 5
	for i := range n {
		s.Set(key(i), stickyFrontend(fmt.Sprintf("d/web-%d", i)))
	}
	dry(s)
	again := NewState()
	again.Configure(nattest.Settings())
	again.have = s.have
	again.adoptShares()
	for i := range n {
		again.Set(key(n-1-i), stickyFrontend(fmt.Sprintf("d/web-%d", n-1-i)))
	}
	for i := range n {
		got, want := again.want[key(i)].Share, s.want[key(i)].Share
		if got != want || (want > 0) != (i < mostOfNamespace) {
			t.Errorf("Service %d has %d after a start, had %d", i, got, want)
		}
	}
	again.Delete(key(0))
	dry(again)
	again.Set(key(n), stickyFrontend("d/new"))
	if got := again.want[key(n)].Share; got == 0 {
		t.Error("a new Service does not get the maps of one that is gone")
	}
}

// TestSharesReserved: a Service gets no number that another one still has in the kernel, neither
// of one that is being removed nor of one that comes later.
func TestSharesReserved(t *testing.T) {
	key := func(i int) inet.Addr { return nattest.Addr(fmt.Sprintf("10.96.0.1:%d", 1+i), inet.TCP) }
	s := NewState()
	s.Configure(nattest.Settings())
	for i := range 2 {
		s.Set(key(i), stickyFrontend(fmt.Sprintf("d/web-%d", i)))
	}
	dry(s)
	s.Delete(key(0))
	s.Set(key(2), stickyFrontend("e/new"))
	if got := s.want[key(2)].Share; got != 3 {
		t.Errorf("a new Service has %d while the kernel has 1 and 2, want 3", got)
	}
	again := NewState()
	again.Configure(nattest.Settings())
	again.have = s.have
	again.adoptShares()
	again.Set(key(2), stickyFrontend("e/new"))
	again.Set(key(1), stickyFrontend("d/web-1"))
	if first, kept := again.want[key(2)].Share, again.want[key(1)].Share; first != 3 || kept != 2 {
		t.Errorf("after a start the new Service has %d and the other one %d, want 3 and 2", first, kept)
	}
}

// TestSharesNames checks that chains of each number have their own, readable names.
func TestSharesNames(t *testing.T) {
	for _, number := range []uint8{0, 1, ruleset.MaxShares} {
		f := stickyFrontend("d/web")
		f.Share = number
		key := nattest.Addr("10.96.0.1:80", inet.TCP)
		verdict := ruleset.ShapeOf(&f, key, ruleset.Shape{}).Verdict()
		if sh, ok := ruleset.ShapeOfVerdict(verdict, inet.IPv4, false); !ok || sh != ruleset.ShapeOf(&f, key, ruleset.Shape{}) {
			t.Errorf("%s cannot be read", verdict)
		}
		name := affinityVerdict(key, &f)
		if c, ok := ruleset.ParseAffinityChain(name); !ok || c.Share != number {
			t.Errorf("%s cannot be read", name)
		}
		if own := fmt.Sprintf("-%d", number); number > 0 && (!strings.HasSuffix(name, own) || !strings.Contains(verdict, own)) {
			t.Errorf("%s and %s do not name %d", name, verdict, number)
		}
	}
}
