// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// beforeJoin are nl.Calls that do something right before a Watch listens again.
type beforeJoin struct {
	nltest.Counter
	do atomic.Pointer[func()]
}

func (b *beforeJoin) Optional(name string) error {
	if name == "NETLINK_ADD_MEMBERSHIP" {
		if do := b.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return nil
}

// TestUnheardCleaner: the cleaner deletes clients while no Watch listens, and while one does. The
// agent knows that it did that itself. Another program is noticed nevertheless.
func TestUnheardCleaner(t *testing.T) {
	ns := nstest.New(t)
	calls := &beforeJoin{}
	table, err := kernel.OpenWith(ns, calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	s := plan.NewState()
	s.Configure(nattest.Settings())
	vip := nattest.Addr("10.96.0.1:80", inet.TCP)
	backends := nattest.Pods(3)
	s.Set(vip, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Affinity: time.Hour, Backends: backends})
	settle(t, s, table)
	for i, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		visit(t, ns, "affinity4", "10.96.0.1 . tcp . 80", client, backends[i].AddrPort().String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cleaner := kernel.NewAffinityCleaner(ns)
	cleaner.Beside(table)
	reports, cleaned := make(chan int, 10), make(chan error, 1)
	go func() {
		cleaned <- cleaner.Run(ctx, func(n int, err error) {
			if err != nil {
				t.Error(err)
			}
			reports <- n
		})
	}()
	remove := func(i int) {
		cleaner.Remove([]nat.Pair{{Frontend: vip, Backend: backends[i].AddrPort()}})
		if n := <-reports; n != 1 {
			t.Errorf("the cleaner deleted %d clients, want 1", n)
		}
	}
	pokes, done := make(chan nat.Writer, 100), make(chan error, 1)
	const every = 200 * time.Millisecond
	go func() { done <- table.WatchWith(ctx, every, false, func(w nat.Writer) { pokes <- w }) }()
	<-pokes // for all that was before
	next := uint32(0)
	commitLarge := func() {
		var b ruleset.Batch
		for range kernel.UnheardFrom {
			b = append(b, ruleset.Op{Verb: ruleset.AddElement, Element: element(ruleset.Set{Kind: ruleset.Backends}, next, "")})
			next++
		}
		commit(t, table, b)
	}
	for i := range 2 {
		during := func() { remove(i) }
		calls.do.Store(&during)
		if commitLarge(); calls.do.Load() != nil {
			t.Fatal("a large batch was heard")
		}
	}
	remove(2)
	commitLarge()
	select {
	case w := <-pokes:
		t.Errorf("a poke about %+v for what the cleaner did", w)
	case <-time.After(4 * every):
	}
	nftCommand(t, ns, "add chain inet fairlead mine")
	late := time.After(30 * time.Second)
	for named := false; !named; { // a check may come before the notification
		select {
		case w := <-pokes:
			named = w.PID != 0
		case <-late:
			t.Fatal("no poke that names nft")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-cleaned; err != nil {
		t.Error(err)
	}
}
