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
