// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// refusing fails all system calls.
type refusing struct{}

func (refusing) Enter() error           { return nil }
func (refusing) Send(int, []byte) error { return unix.EPERM }
func (refusing) Receive(int, []byte, int) (int, unix.Sockaddr, error) {
	return 0, nil, unix.EPERM
}

// TestManyErrors fails to look up many clients. The log gets the first errors, and the number of
// all.
func TestManyErrors(t *testing.T) {
	f := newFlows(t)
	c := NewCleaner(Config{Namespace: f.ns})
	c.calls = refusing{}
	const clients = 3000
	now := time.Now()
	for i := range clients {
		c.late.add(Flow{
			Client:  netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(1+i)),
			Dialled: udp("192.0.2.1:30053"), Answerer: ap("192.0.2.1:30053"),
		}, now.Add(-time.Second))
	}
	s := c.checkLate(t.Context(), now)
	if !errors.Is(s.Err, unix.EPERM) || s.Scanned != clients {
		t.Fatalf("scanned %d, error %.200v, want all and that of the kernel", s.Scanned, s.Err)
	}
	if text := s.Err.Error(); len(text) > 2048 {
		t.Errorf("the error has %d bytes", len(text))
	}
	if len(c.late.queue) != clients {
		t.Errorf("%d clients are checked again, want all", len(c.late.queue))
	}
}

// TestEnds ends the agent before a search deletes anything. The work stays due.
func TestEnds(t *testing.T) {
	f := newFlows(t)
	f.add(t, inet.UDP, "10.0.0.1:2", "10.96.0.10:53", "10.244.0.2:53")
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("10.96.0.10:53"), inet.AddrPorts{}, inet.AddrPorts{})
	ended, end := context.WithCancel(t.Context())
	end()
	if s := c.sweep(ended, takeAll(c)); !errors.Is(s.Err, context.Canceled) || s.Deleted > 0 {
		t.Errorf("%+v, want the error of the context", s)
	}
	if got := f.list(t); !slices.Equal(got, []string{"10.0.0.1:2"}) {
		t.Errorf("left are %v, want the flow", got)
	}
	if s := c.sweep(t.Context(), takeAll(c)); s.Err != nil || s.Deleted != 1 {
		t.Errorf("%+v, want one deleted flow", s)
	}
}
