// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"fairlead/internal/inet"
)

// many adds UDP flows from different clients.
func (f *flows) many(t testing.TB, n int, dialled, answerer string) {
	t.Helper()
	for i := range n {
		f.add(t, inet.UDP, fmt.Sprintf("10.1.%d.%d:1", i>>8, i&0xff), dialled, answerer)
	}
}

// TestSweepMemory searches a large table whose flows all dialled a frontend, none
// of them stale. The search needs no memory for each flow.
func TestSweepMemory(t *testing.T) {
	const n = 20000
	f := newFlows(t)
	f.many(t, n, "10.96.0.10:53", "10.244.0.1:53")
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("10.96.0.10:53"), []netip.AddrPort{ap("10.244.0.1:53")}, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := c.sweep(takeAll(c))
	runtime.ReadMemStats(&after)
	if s.Err != nil || s.Scanned != n || s.Deleted != 0 {
		t.Errorf("%+v", s)
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
		t.Errorf("a search among %d flows allocated %d bytes", n, bytes)
	}
}

// TestSetDuringSweep tells about other frontends while thousands of flows are being
// deleted. Nobody waits for the kernel.
func TestSetDuringSweep(t *testing.T) {
	const n = 20000
	f := newFlows(t)
	f.many(t, n, "10.96.0.10:53", "10.244.0.1:53")
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("10.96.0.10:53"), []netip.AddrPort{ap("10.244.0.2:53")}, nil)
	done := make(chan Sweep, 1)
	go func() { done <- c.sweep(takeAll(c)) }()
	eventually(t, "deletion began", func() bool {
		got, err := ReadFill(f.ns)
		return err == nil && got.Entries < n
	})
	began := time.Now()
	for i := range 1000 {
		c.Set(udp(fmt.Sprintf("10.97.0.%d:%d", i%250, 1+i)), []netip.AddrPort{ap("10.244.0.2:53")}, nil)
	}
	took := time.Since(began)
	select {
	case s := <-done:
		t.Fatalf("the sweep ended too early to tell: %+v", s)
	default:
	}
	if s := <-done; s.Err != nil || s.Deleted != n {
		t.Errorf("%+v", s)
	}
	if took > 100*time.Millisecond {
		t.Errorf("1,000 calls of Set took %v", took)
	}
}
