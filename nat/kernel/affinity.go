// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// AffinityCleaner deletes the affinity entries of backends that clients may no longer
// reach. There can be far more clients than backends, so it works on a socket of its
// own and does not delay commits. Remove and RemoveExcept are safe for concurrent use
// and never wait for the kernel. Run is the one worker.
type AffinityCleaner struct {
	ns    *netns.NS
	poked chan struct{}

	mu   sync.Mutex
	gone map[nat.Pair]struct{}
	keep map[nat.Pair]struct{} // nil, or everything that may be remembered
}

// NewAffinityCleaner returns a cleaner for the table in a network namespace, nil for
// that of the process. It does nothing until Run.
func NewAffinityCleaner(ns *netns.NS) *AffinityCleaner {
	return &AffinityCleaner{ns: ns, poked: make(chan struct{}, 1), gone: map[nat.Pair]struct{}{}}
}

// Remove deletes the entries of pairs, which Step.Unstick returns. Call it after the
// commit of that step. Before the commit, a client that comes again is sent to the old
// backend and remembered with it once more.
func (f *AffinityCleaner) Remove(pairs []nat.Pair) {
	if len(pairs) == 0 {
		return
	}
	f.mu.Lock()
	for _, p := range pairs {
		f.gone[p] = struct{}{}
	}
	f.mu.Unlock()
	f.poke()
}

// RemoveExcept deletes every affinity entry whose backend is not in pairs. Call it
// once after a restart, because changes may have been missed while the agent was down.
func (f *AffinityCleaner) RemoveExcept(pairs map[nat.Pair]struct{}) {
	f.mu.Lock()
	f.keep = pairs
	f.mu.Unlock()
	f.poke()
}

func (f *AffinityCleaner) poke() {
	select {
	case f.poked <- struct{}{}:
	default:
	}
}

// Retries after a failed pass, doubled from the first to the last.
const (
	firstForget = 20 * time.Millisecond
	lastForget  = 10 * time.Second
)

// Run works until ctx is done, then returns nil. After each pass it calls report with
// the number of entries that it deleted and the error that will make it try again, or
// nil.
func (f *AffinityCleaner) Run(ctx context.Context, report func(clients int, err error)) error {
	var retry <-chan time.Time
	wait := firstForget
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.poked:
		case <-retry:
		}
		retry = nil
		n, err := f.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		report(n, err)
		if err != nil {
			retry = time.After(wait)
			wait = min(2*wait, lastForget)
			continue
		}
		wait = firstForget
	}
}

// pass goes through the affinity maps once. After an error the work stays queued.
func (f *AffinityCleaner) pass(ctx context.Context) (int, error) {
	f.mu.Lock()
	todo := forgetting{gone: f.gone, keep: f.keep}
	f.gone, f.keep = map[nat.Pair]struct{}{}, nil
	f.mu.Unlock()

	n, err := todo.untilNone(ctx, f.ns)
	if err != nil {
		f.mu.Lock()
		for p := range todo.gone {
			f.gone[p] = struct{}{}
		}
		if f.keep == nil {
			f.keep = todo.keep
		}
		f.mu.Unlock()
		err = fmt.Errorf("forget sticky clients: %w", err)
	}
	return n, err
}

// forgetting is one pass over the affinity maps. It collects the pairs that it deletes
// in removed.
type forgetting struct {
	gone, keep map[nat.Pair]struct{}
	removed    map[nat.Pair]struct{}
}

// mostRepeats bounds how often a pass is repeated.
const mostRepeats = 20

// untilNone repeats the pass for the pairs that it deleted until it finds none. A
// client that looked its entry up before it was deleted writes it again, and a dump can
// miss entries while a map grows.
func (f *forgetting) untilNone(ctx context.Context, ns *netns.NS) (int, error) {
	total, err := f.carryOut(ctx, ns)
	for range mostRepeats {
		if err != nil || len(f.removed) == 0 {
			break
		}
		again := forgetting{gone: f.removed}
		var n int
		n, err = again.carryOut(ctx, ns)
		total += n
		f.removed = again.removed
	}
	return total, err
}

// stale reports whether the pass deletes e.
func (f *forgetting) stale(e *ruleset.Element) bool {
	local := e.Set.IsLocalAffinity()
	pair := nat.Pair{Frontend: e.Key, Backend: e.Data, Local: local}
	for _, p := range []nat.Pair{pair, {Frontend: e.Key, Local: local}} {
		if _, ok := f.gone[p]; ok {
			return true
		}
	}
	if f.keep == nil {
		return false
	}
	_, ok := f.keep[pair]
	return !ok
}

// sets returns the maps that may hold stale entries.
func (f *forgetting) sets() []ruleset.Set {
	seen := map[ruleset.Set]bool{}
	for p := range f.gone {
		seen[ruleset.AffinityOf(p.Frontend, p.Local)] = true
	}
	var out []ruleset.Set
	ruleset.AllSets(func(s ruleset.Set) {
		if s.Spec().Learnt && (seen[s] || f.keep != nil) {
			out = append(out, s)
		}
	})
	return out
}

func (f *forgetting) carryOut(ctx context.Context, ns *netns.NS) (int, error) {
	t, err := Open(ns)
	if err != nil {
		return 0, err
	}
	defer func() { _ = t.Close() }()
	total := 0
	for _, set := range f.sets() {
		els, err := t.conn.GetSetElements(t.set(set))
		if errors.Is(err, unix.ENOENT) {
			continue // no table, nothing remembered
		}
		if err != nil {
			return total, fmt.Errorf("list elements of %s: %w", set, err)
		}
		stale := f.among(set, els)
		f.note(stale)
		n, err := t.deleteElements(ctx, stale)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// note records the pairs of es as removed.
func (f *forgetting) note(es []ruleset.Element) {
	for i := range es {
		if f.removed == nil {
			f.removed = map[nat.Pair]struct{}{}
		}
		f.removed[nat.Pair{Frontend: es[i].Key, Backend: es[i].Data, Local: es[i].Set.IsLocalAffinity()}] = struct{}{}
	}
}

func (f *forgetting) among(set ruleset.Set, els []nftables.SetElement) []ruleset.Element {
	var out []ruleset.Element
	for i := range els {
		if e, ok := decode(set, &els[i]); ok && f.stale(&e) {
			out = append(out, e)
		}
	}
	return out
}

// deleteElements deletes elements. One that expired since it was listed makes the kernel
// refuse its batch; then the batch is halved until that one is alone.
func (t *Table) deleteElements(ctx context.Context, es []ruleset.Element) (int, error) {
	if len(es) == 0 {
		return 0, nil
	}
	if len(es) <= ruleset.DefaultLimit {
		err := t.Commit(ctx, &ruleset.Batch{Dels: es})
		if err == nil {
			return len(es), nil
		}
		if !errors.Is(err, unix.ENOENT) || len(es) == 1 {
			return 0, ignoreMissing(err)
		}
	}
	half := len(es) / 2
	n, err := t.deleteElements(ctx, es[:half])
	if err != nil {
		return n, err
	}
	m, err := t.deleteElements(ctx, es[half:])
	return n + m, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// isLearnt reports whether a notification is about elements of a map that
// packets fill. What is missing there is learnt again; nobody repairs it.
func isLearnt(typ uint16, got map[uint16][]byte) bool {
	if typ != unix.NFT_MSG_NEWSETELEM && typ != unix.NFT_MSG_DELSETELEM {
		return false
	}
	set, ok := ruleset.SetNamed(text(got[unix.NFTA_SET_ELEM_LIST_SET]))
	return ok && set.Spec().Learnt
}
