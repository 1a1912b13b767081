// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
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
	c.Set(udp("10.96.0.10:53"), inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := c.sweep(t.Context(), takeAll(c))
	runtime.ReadMemStats(&after)
	if s.Err != nil || s.Scanned != n || s.Deleted != 0 {
		t.Errorf("%+v", s)
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
		t.Errorf("a search among %d flows allocated %d bytes", n, bytes)
	}
}

// stuck is a kernel that does not answer while flows are being deleted.
type stuck struct {
	nltest.Counter
	deleting func() bool
	began    chan struct{} // closed once there was a deletion
	goOn     chan struct{}
}

func (s *stuck) Enter() error {
	if s.deleting() {
		s.deleting = func() bool { return false }
		close(s.began)
		<-s.goOn
	}
	return s.Counter.Enter()
}

// TestSetDuringSweep tells about other frontends while flows are being deleted by a kernel that
// does not answer. Nobody waits for it.
func TestSetDuringSweep(t *testing.T) {
	const n = 100
	f := newFlows(t)
	f.many(t, n, "10.96.0.10:53", "10.244.0.1:53")
	c := NewCleaner(Config{Namespace: f.ns})
	kernel := &stuck{began: make(chan struct{}), goOn: make(chan struct{}), deleting: func() bool {
		got, err := ReadFill(f.ns)
		return err == nil && got.Entries < n
	}}
	c.calls = kernel
	c.Set(udp("10.96.0.10:53"), inet.AddrPortsOf(ap("10.244.0.2:53")), inet.AddrPorts{})
	done := make(chan Sweep, 1)
	go func() { done <- c.sweep(t.Context(), takeAll(c)) }()
	<-kernel.began
	told := make(chan struct{})
	go func() {
		defer close(told)
		for i := range 1000 {
			c.Set(udp(fmt.Sprintf("10.97.0.%d:%d", i%250, 1+i)), inet.AddrPortsOf(ap("10.244.0.2:53")), inet.AddrPorts{})
		}
		c.Delete(udp("10.97.0.1:2"))
		c.SweepAll(nil)
		c.Loosen()
	}()
	select {
	case <-told:
	case <-time.After(30 * time.Second):
		t.Error("Set waits for the kernel")
	}
	close(kernel.goOn)
	<-told
	if s := <-done; s.Err != nil || s.Deleted != n {
		t.Errorf("%+v", s)
	}
}
