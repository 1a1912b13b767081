// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/internal/worker"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// duringCommit are nl.Calls that do something once, right before a transaction is sent.
type duringCommit struct {
	nltest.Counter
	do atomic.Pointer[func()]
}

func (d *duringCommit) Send(fd int, b []byte) error {
	if binary.NativeEndian.Uint16(b[4:]) == unix.NFNL_MSG_BATCH_BEGIN {
		if do := d.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return d.Counter.Send(fd, b)
}

// ourSet is one that the agent changes, and theirSet is one that another program changes.
func ourSet() ruleset.Set   { return ruleset.Set{Kind: ruleset.Backends} }
func theirSet() ruleset.Set { return ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv6} }

// twoPrograms opens a table with these sets for the agent, and for another program.
func twoPrograms(t *testing.T) (table, other *kernel.Table, calls *duringCommit) {
	t.Helper()
	ns := nstest.New(t)
	calls = &duringCommit{}
	table, err := kernel.OpenWith(ns, calls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	if other, err = kernel.Open(ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	commit(t, table, ruleset.Batch{{Verb: ruleset.AddTable}, {Verb: ruleset.AddSet, Set: ourSet()}, {Verb: ruleset.AddSet, Set: theirSet()}})
	return table, other, calls
}

// TestUnheardCrowd: while another program makes many transactions, large batches are heard, so each of
// its changes is named and nothing has to be read whole.
func TestUnheardCrowd(t *testing.T) {
	table, other, calls := twoPrograms(t)
	set, strange := ourSet(), theirSet()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pokes, done := make(chan nat.Writer, 1000), make(chan error, 1)
	go func() { done <- table.WatchWith(ctx, time.Hour, false, func(w nat.Writer) { pokes <- w }) }()
	<-pokes // for all that was before

	var next uint32
	change := func() {
		commit(t, other, ruleset.Batch{{Verb: ruleset.AddElement, Element: element(strange, next, "")}})
		next++
	}
	for range kernel.Crowd {
		change()
	}
	var b ruleset.Batch
	for i := range kernel.UnheardFrom {
		b = append(b, ruleset.Op{Verb: ruleset.AddElement, Element: element(set, uint32(i), "")})
	}
	calls.do.Store(&change)
	commit(t, table, b)
	// Commit pokes before it returns for what was not heard, and the notifications of the rest may come later.
	for len(pokes) > 0 {
		if w := <-pokes; w.PID == 0 {
			t.Errorf("a poke about %+v beside %d changes by another program", w, next)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestUnheard: while a large batch is committed no Watch listens, so the kernel makes no
// notifications. A change by another program meanwhile is found nevertheless, without its name, and
// then large batches are heard again until the others have paused. Small batches are always heard.
func TestUnheard(t *testing.T) {
	table, other, calls := twoPrograms(t)
	set, strange := ourSet(), theirSet()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pokes, done := make(chan nat.Writer, 100), make(chan error, 1)
	const every = 200 * time.Millisecond
	go func() { done <- table.WatchWith(ctx, every, false, func(w nat.Writer) { pokes <- w }) }()
	<-pokes // for all that was before

	next := uint32(0)
	batch := func(s ruleset.Set, n int) (b ruleset.Batch) {
		for range n {
			b = append(b, ruleset.Op{Verb: ruleset.AddElement, Element: element(s, next, "")})
			next++
		}
		return b
	}
	const patience = 20 * time.Second
	poke := func() nat.Writer {
		t.Helper()
		select {
		case w := <-pokes:
			return w
		case <-time.After(patience):
			t.Fatal("no poke")
			return nat.Writer{}
		}
	}
	// try commits n elements, while another program changes the table, and expects a poke.
	try := func(what string, n int, do func(), named bool) {
		t.Helper()
		calls.do.Store(&do)
		commit(t, table, batch(set, n))
		w := poke()
		for named && w.PID == 0 { // a check may come before the notification
			w = poke()
		}
		if (w.PID != 0) != named {
			t.Errorf("%s: a poke about %+v, named: want %v", what, w, named)
		}
	}
	change := func() { commit(t, other, batch(strange, 1)) }
	try("small", 10, change, true)
	try("large", kernel.UnheardFrom, change, false)
	try("large, disturbed", kernel.UnheardFrom, change, true)
	if !worker.Await(ctx, time.Millisecond, func() bool {
		<-time.After(3 * every)
		calls.do.Store(&change)
		commit(t, table, batch(set, kernel.UnheardFrom))
		return poke().PID == 0
	}) {
		t.Error("after a pause: large batches are heard")
	}
	change()
	if w := poke(); w.PID == 0 {
		t.Errorf("after a large batch: a poke about %+v", w)
	}
	commit(t, table, batch(set, kernel.UnheardFrom))
	select {
	case w := <-pokes:
		t.Errorf("our own large batch: a poke about %+v", w)
	case <-time.After(4 * every):
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
