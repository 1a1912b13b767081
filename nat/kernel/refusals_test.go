// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// TestWatchRefused watches where a filter of system calls refuses all that Watch can do without.
// It hears of others, not of large batches of ours, and says what is refused once, also if it begins
// again.
func TestWatchRefused(t *testing.T) {
	ns := nstest.New(t)
	calls := &nltest.Refuser{Errnos: map[string]error{
		"poll": unix.EPERM, "SO_ATTACH_FILTER": unix.ENOPROTOOPT, "NETLINK_DROP_MEMBERSHIP": unix.EPERM,
	}}
	table, err := kernel.OpenWith(ns, calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	var mu sync.Mutex
	var told []string
	table.OnRefusal(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err.Error())
	})
	set := ruleset.Set{Kind: ruleset.Backends}
	commit(t, table, ruleset.Batch{{Verb: ruleset.AddTable}, {Verb: ruleset.AddSet, Set: set}})
	next := uint32(0)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		pokes, done := make(chan nat.Writer, 100), make(chan error, 1)
		go func() { done <- table.Watch(ctx, func(w nat.Writer) { pokes <- w }) }()
		<-pokes // for all that was before
		var batch ruleset.Batch
		for range kernel.UnheardFrom {
			batch = append(batch, ruleset.Op{Verb: ruleset.AddElement, Element: element(set, next, "")})
			next++
		}
		commit(t, table, batch)
		nftCommand(t, ns, "add chain inet fairlead mine; delete chain inet fairlead mine")
		select {
		case w := <-pokes:
			if w.PID == 0 {
				t.Errorf("the first poke is about %v, want nft", w)
			}
		case <-time.After(30 * time.Second):
			t.Error("no poke for a change by another program")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	}
	if calls.Tried("NETLINK_DROP_MEMBERSHIP") != 2 || calls.Tried("poll") != 2 || calls.Tried("SO_ATTACH_FILTER") != 2 {
		t.Error("the test refused something else")
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(told)
	want := "filter notifications: protocol not available, leave the group of nftables: operation not permitted, poll a netlink socket: operation not permitted"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told of\n%s\nwant\n%s", got, want)
	}
}
