// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
)

var every = flag.Bool("every-fault", false, "make system calls fail in each way, instead of some among those that are alike")

// TestFaults makes each system call of a search for stale flows fail, in each way. The
// worker repeats the search until the stale flows are gone, and deletes no other. It never
// reports more flows than the kernel has deleted.
func TestFaults(t *testing.T) {
	f := newFlows(t)
	kinds := nltest.Some()
	if *every {
		kinds = nltest.All()
	}
	for _, fault := range kinds {
		t.Run(strings.ReplaceAll(fault.Name, " ", "-"), func(t *testing.T) {
			for n := 1; f.fails(t, fault, n); n++ {
				if !*every {
					n += n / 6
				}
			}
		})
	}
}

// fails makes the n-th call fail. It reports whether there was one.
func (f *flows) fails(t *testing.T, fault nltest.Fault, n int) bool {
	t.Helper()
	if err := f.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	const stale = 4
	f.add(t, inet.UDP, "10.0.0.1:1", "203.0.113.1:53", "10.244.0.9:53")       // endpoint is gone
	f.add(t, inet.UDP, "10.0.0.1:2", "203.0.113.1:53", "10.244.0.1:53")       // endpoint serves
	f.add(t, inet.UDP, "10.0.0.1:3", nodeAddr+":30053", nodeAddr+":30053")    // NodePort, never translated
	f.add(t, inet.UDP, "10.0.0.1:4", "203.0.113.9:30053", "10.244.0.9:53")    // no address of this node
	f.add(t, inet.UDP, "[fd01::1]:1", "[fd00:113::1]:53", "[fd00:113::1]:53") // never translated
	f.add(t, inet.TCP, "10.0.0.1:5", "203.0.113.1:80", "10.244.0.9:80")       // established
	f.addState(t, inet.TCP, 1, 0, "10.0.0.1:6", "203.0.113.1:80", "10.244.0.9:80")
	want := []string{"10.0.0.1:2", "10.0.0.1:4", "10.0.0.1:5"}

	var faults nltest.Faults
	c := NewCleaner(Config{Namespace: f.ns})
	c.calls = &faults
	serving := inet.AddrPortsOf(ap("10.244.0.1:53"))
	tcp := udp("203.0.113.1:80")
	tcp.Proto = inet.TCP
	for _, frontend := range []inet.Addr{udp("203.0.113.1:53"), udp("0.0.0.0:30053"), udp("[fd00:113::1]:53"), tcp} {
		c.Set(frontend, serving, inet.AddrPorts{})
	}
	faults.Arm(fault, n, 1)
	deleted, passes := 0, 0
	for again := true; again; passes++ {
		if passes == 4 {
			t.Fatalf("call %d: the search does not end", n)
		}
		s, _, _ := c.pass(t.Context(), time.Now().Add(openingDelay))
		deleted += s.Deleted
		again = s.Err != nil
	}
	struck := faults.Disarm()
	if got := f.list(t); !slices.Equal(got, want) {
		t.Errorf("call %d: left %v, want %v after %d passes", n, got, want, passes)
	}
	if deleted > stale || deleted < stale-struck {
		t.Errorf("call %d: %d flows are said to be deleted, want %d", n, deleted, stale)
	}
	return struck > 0 && !t.Failed()
}
