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

// AffinityCleaner deletes what the table remembers of sticky clients whose backend is
// gone. Their number is not bounded by the number of backends, so it works
// beside the commits, on a socket of its own. Forget and Keep are safe for
// concurrent use and never wait for the kernel; Run is the one worker.
type AffinityCleaner struct {
	ns    *netns.NS
	poked chan struct{}

	mu   sync.Mutex
	gone map[nat.Pair]struct{}
	keep map[nat.Pair]struct{} // nil, or everything that may be remembered
}

// NewAffinityCleaner returns a Forgetter for the table in a network namespace, nil for
// that of the process. It does nothing until Run.
func NewAffinityCleaner(ns *netns.NS) *AffinityCleaner {
	return &AffinityCleaner{ns: ns, poked: make(chan struct{}, 1), gone: map[nat.Pair]struct{}{}}
}

// Remove takes what Batch.Forget returns, once the batch is committed: before
// that, a client that comes again would be remembered anew.
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

// RemoveExcept has everything forgotten but pairs, as after a restart, before which
// nobody looked.
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

// Run works until ctx ends, and returns nil then. report is told after each
// pass how many clients were forgotten, and why it will be repeated, or nil.
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

// pass looks through the affinity maps once. What fails stays to be done.
func (f *AffinityCleaner) pass(ctx context.Context) (int, error) {
	f.mu.Lock()
	todo := forgetting{gone: f.gone, keep: f.keep}
	f.gone, f.keep = map[nat.Pair]struct{}{}, nil
	f.mu.Unlock()

	n, err := todo.carryOut(ctx, f.ns)
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

// forgetting is one pass over the affinity maps.
type forgetting struct{ gone, keep map[nat.Pair]struct{} }

// stale reports whether what e remembers is to be forgotten.
func (f *forgetting) stale(e *ruleset.Element) bool {
	for _, p := range []nat.Pair{{Frontend: e.Key, Backend: e.Data}, {Frontend: e.Key}} {
		if _, ok := f.gone[p]; ok {
			return true
		}
	}
	if f.keep == nil {
		return false
	}
	_, ok := f.keep[nat.Pair{Frontend: e.Key, Backend: e.Data}]
	return !ok
}

// sets returns the maps that may hold something stale.
func (f *forgetting) sets() []ruleset.Set {
	seen := map[ruleset.Set]bool{}
	for p := range f.gone {
		seen[ruleset.AffinityOf(p.Frontend)] = true
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
		n, err := t.deleteElements(ctx, f.among(set, els))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
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
