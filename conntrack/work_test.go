// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"testing"
	"time"

	"fairlead/internal/inet"
)

// takeAll takes all work, as if nothing had to wait.
func takeAll(c *Cleaner) (w work) {
	c.inbox.Add(func(all *work) bool {
		w, _ = all.due(time.Now().Add(openingDelay), time.Time{})
		return false
	})
	return w
}

// TestWorkDue: UDP does not wait, opening flows wait for others, and a search of all
// flows leaves nothing.
func TestWorkDue(t *testing.T) {
	udp := inet.Addr{IP: netip.MustParseAddr("10.96.0.10"), Port: 53, Proto: inet.UDP}
	tcp, sctp := udp, udp
	tcp.Proto, sctp.Proto = inet.TCP, inet.SCTP
	start := time.Unix(1_700_000_000, 0)
	var w work
	if !w.add(tcp, start) || w.add(tcp, start.Add(time.Millisecond)) || w.add(sctp, start.Add(2*time.Millisecond)) {
		t.Error("the worker is not woken once for the opening flows")
	}
	if !w.add(udp, start) {
		t.Error("the worker is not woken for UDP")
	}
	due, next := w.due(start.Add(openingDelay-1), time.Time{})
	if _, ok := due.frontends[udp]; !ok || len(due.frontends) != 1 || !next.Equal(start.Add(openingDelay)) {
		t.Errorf("due is %v, the next %v", due, next)
	}
	if !w.has(tcp) || !w.has(sctp) || w.has(udp) {
		t.Errorf("what is left is %v", w)
	}
	due, next = w.due(start.Add(openingDelay), time.Time{})
	if len(due.frontends) != 2 || !next.IsZero() || w.has(tcp) {
		t.Errorf("due is %v, the next %v, the rest %v", due, next, w)
	}
	w.add(tcp, start)
	w.all = true
	if due, next = w.due(start, start); len(due.frontends) != 1 || !due.all || !next.IsZero() || w.has(tcp) || w.all {
		t.Errorf("with all flows due is %v, the next %v, the rest %v", due, next, w)
	}
}

// TestWorkAllWaits: a search of all flows waits for its time, and nothing else does.
func TestWorkAllWaits(t *testing.T) {
	udp := inet.Addr{IP: netip.MustParseAddr("10.96.0.10"), Port: 53, Proto: inet.UDP}
	tcp := udp
	tcp.Proto = inet.TCP
	start := time.Unix(1_700_000_000, 0)
	later := start.Add(openingDelay / 2)
	w := work{all: true}
	w.addNow(udp)
	w.add(tcp, start)
	due, next := w.due(start, later)
	if due.all || len(due.frontends) != 1 || !next.Equal(later) || !w.all {
		t.Errorf("due is %v, the next %v, the rest %v", due, next, w)
	}
	if due, next = w.due(start, start.Add(time.Hour)); !due.none() || !next.Equal(start.Add(openingDelay)) || !w.all {
		t.Errorf("due is %v, the next %v, the rest %v", due, next, w)
	}
	if due, next = w.due(start.Add(openingDelay), start.Add(time.Hour)); due.all || len(due.frontends) != 1 || !next.Equal(start.Add(time.Hour)) {
		t.Errorf("due is %v, the next %v, the rest %v", due, next, w)
	}
	if due, next = w.due(later, later); !due.all || !next.IsZero() || w.all {
		t.Errorf("due is %v, the next %v, the rest %v", due, next, w)
	}
}

// TestOpeningRests: searches for opening flows take a hundredth of the time, whether endpoints
// change during a search or after it. UDP does not wait.
func TestOpeningRests(t *testing.T) {
	udp := inet.Addr{IP: netip.MustParseAddr("10.96.0.10"), Port: 53, Proto: inet.UDP}
	tcp := udp
	tcp.Proto = inet.TCP
	start := time.Unix(1_700_000_000, 0)
	for _, c := range []struct{ took, rest time.Duration }{
		{time.Millisecond, openingDelay}, {10 * time.Millisecond, time.Second}, {time.Minute, lastRestOpening},
	} {
		for _, during := range []bool{false, true} {
			var w work
			if during {
				w.add(tcp, start)
			}
			w.rest(start, c.took)
			w.add(tcp, start)
			if due, _ := w.due(start, start); due.opens || !due.none() {
				t.Errorf("after a search of %v, during %v: due is %v", c.took, during, due)
			}
			w.add(udp, start)
			due, next := w.due(start.Add(c.rest-1), start)
			if _, ok := due.frontends[udp]; !ok || due.opens || !next.Equal(start.Add(c.rest)) {
				t.Errorf("after a search of %v, during %v: due is %v, the next %v", c.took, during, due, next.Sub(start))
			}
			if due, _ = w.due(start.Add(c.rest), start); !due.opens || len(due.frontends) != 1 {
				t.Errorf("after a search of %v, during %v: due is %v in the end", c.took, during, due)
			}
		}
	}
}

// TestPassRests: a pass that searches for opening flows tells how long it took.
func TestPassRests(t *testing.T) {
	f := newFlows(t)
	c := NewCleaner(Config{Namespace: f.ns})
	frontend := inet.Addr{IP: netip.MustParseAddr("10.96.0.1"), Port: 443, Proto: inet.TCP}
	c.Set(frontend, inet.AddrPorts{}, inet.AddrPorts{})
	c.Set(frontend, inet.AddrPortsOf(ap("10.244.0.1:443")), inet.AddrPorts{})
	now := time.Now().Add(openingDelay)
	if s, done, _ := c.pass(t.Context(), now); !done || s.Err != nil {
		t.Fatalf("%+v", s)
	}
	c.inbox.Add(func(w *work) bool {
		if w.rested.IsZero() {
			t.Error("the next search does not rest")
		}
		return false
	})
}

// TestRestsEnd makes searches take a minute. The next ones wait for seconds only.
func TestRestsEnd(t *testing.T) {
	f := newFlows(t)
	c := NewCleaner(Config{Namespace: f.ns})
	c.SweepAll(nil)
	if _, done, _ := c.pass(t.Context(), time.Now().Add(-time.Minute)); !done {
		t.Fatal("no search of all flows")
	}
	if wait := time.Until(c.allAt); wait > lastRestAll {
		t.Errorf("the next search of all flows waits for %s", wait)
	}
	c.Set(inet.Addr{IP: ap("10.96.0.1:80").Addr(), Port: 80, Proto: inet.TCP}, inet.AddrPortsOf(ap("10.244.0.1:80")), inet.AddrPorts{})
	c.inbox.Add(func(w *work) bool {
		w.openingAt = time.Now().Add(-time.Hour)
		return false
	})
	if _, done, _ := c.pass(t.Context(), time.Now().Add(-time.Minute)); !done {
		t.Fatal("no search for opening flows")
	}
	c.inbox.Add(func(w *work) bool {
		if wait := time.Until(w.rested); wait > lastRestOpening {
			t.Errorf("the next search for opening flows waits for %s", wait)
		}
		return false
	})
}

// TestBypassLimit notes more flows than are looked at again.
func TestBypassLimit(t *testing.T) {
	var b bypasses
	for i := range 2 * bypassLimit {
		b.note(&entry{Flow: Flow{Client: netip.AddrPortFrom(ap("10.0.0.1:1").Addr(), uint16(i))}}, time.Now())
	}
	if len(b.of) != bypassLimit {
		t.Errorf("%d flows are looked at again, want %d", len(b.of), bypassLimit)
	}
}
