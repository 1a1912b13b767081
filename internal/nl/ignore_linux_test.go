// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/internal/nstest"
)

// TestIgnore has two sockets make tables. A listener is notified of one of them alone,
// also after the listener has changed its mind.
func TestIgnore(t *testing.T) {
	for _, rest := range []time.Duration{0, time.Millisecond} { // polled by the runtime, and not
		t.Run(fmt.Sprint("rest=", rest), func(t *testing.T) { testIgnore(t, rest) })
	}
}

func testIgnore(t *testing.T, rest time.Duration) {
	t.Helper()
	ns := nstest.New(t)
	dial := func(cfg nl.Config) *nl.Socket {
		t.Helper()
		cfg.Protocol, cfg.Namespace = unix.NETLINK_NETFILTER, ns
		s, err := nl.Dial(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	const generation = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
	a, b := dial(nl.Config{}), dial(nl.Config{})
	listener := dial(nl.Config{Groups: []uint32{unix.NFNLGRP_NFTABLES}, Rest: rest})
	ctx, cancel := context.WithCancel(t.Context())
	heard, listens := make(chan string, 1000), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = listener.Listen(ctx, func(r nl.Reply) {
			if r.Kind == generation {
				heard <- fmt.Sprint(r.Port)
			}
		}, nil, sync.OnceFunc(func() { close(listens) }))
	})
	<-listens
	defer all.Wait()
	defer cancel()
	number := 0
	makeTable := func(s *nl.Socket, operations int) {
		t.Helper()
		var m nl.Messages
		m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
		for range operations {
			number++
			addTable(&m, fmt.Sprint("t", number))
		}
		if err := s.Transact(&m, func(i int, err error) { t.Errorf("operation %d: %v", i, err) }); err != nil {
			t.Fatal(err)
		}
	}
	for round, ignored := range []*nl.Socket{a, b, a} {
		if err := listener.Ignore(ignored.Port()); err != nil {
			t.Fatal(err)
		}
		other := map[*nl.Socket]*nl.Socket{a: b, b: a}[ignored]
		// More than one datagram has room for, then one.
		makeTable(ignored, 500)
		makeTable(ignored, 1)
		makeTable(other, 1)
		select {
		case got := <-heard:
			if want := fmt.Sprint(other.Port()); got != want {
				t.Errorf("round %d: notified of a transaction of port %s, want %s only", round, got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("round %d: notified of nothing", round)
		}
		if len(heard) > 0 {
			t.Errorf("round %d: notified of another transaction", round)
		}
	}
	cancel()
	all.Wait()
	if err := listener.Ignore(a.Port()); rest > 0 && err == nil {
		t.Error("a socket that is closed has a filter")
	}
}
