// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// Forgetter deletes what the table remembers of sticky clients whose backend is
// gone. Their number is not bounded by the number of backends, so it works
// beside the commits, on a socket of its own. Forget and Keep are safe for
// concurrent use and never wait for the kernel; Run is the one worker.
type Forgetter struct {
	ns    *netns.NS
	poked chan struct{}

	mu   sync.Mutex
	gone map[Pair]struct{}
	keep map[Pair]struct{} // nil, or everything that may be remembered
}

// NewForgetter returns a Forgetter for the table in a network namespace, nil for
// that of the process. It does nothing until Run.
func NewForgetter(ns *netns.NS) *Forgetter {
	return &Forgetter{ns: ns, poked: make(chan struct{}, 1), gone: map[Pair]struct{}{}}
}

// Forget takes what Batch.Forget returns, once the batch is committed: before
// that, a client that comes again would be remembered anew.
func (f *Forgetter) Forget(pairs []Pair) {
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

// Keep has everything forgotten but pairs, as after a restart, before which
// nobody looked.
func (f *Forgetter) Keep(pairs map[Pair]struct{}) {
	f.mu.Lock()
	f.keep = pairs
	f.mu.Unlock()
	f.poke()
}

func (f *Forgetter) poke() {
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
func (f *Forgetter) Run(ctx context.Context, report func(clients int, err error)) error {
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
func (f *Forgetter) pass(ctx context.Context) (int, error) {
	f.mu.Lock()
	todo := forgetting{gone: f.gone, keep: f.keep}
	f.gone, f.keep = map[Pair]struct{}{}, nil
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
type forgetting struct{ gone, keep map[Pair]struct{} }

// stale reports whether what e remembers is to be forgotten.
func (f *forgetting) stale(e *element) bool {
	for _, p := range []Pair{{e.key, e.data}, {Frontend: e.key}} {
		if _, ok := f.gone[p]; ok {
			return true
		}
	}
	if f.keep == nil {
		return false
	}
	_, ok := f.keep[Pair{e.key, e.data}]
	return !ok
}

// sets returns the maps that may hold something stale.
func (f *forgetting) sets() []setID {
	seen := map[setID]bool{}
	for p := range f.gone {
		seen[affinityOf(p.Frontend)] = true
	}
	var out []setID
	allSets(func(s setID) {
		if s.row().learnt && (seen[s] || f.keep != nil) {
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
		n, err := t.forget(ctx, f.among(set, els))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *forgetting) among(set setID, els []nftables.SetElement) []element {
	var out []element
	for i := range els {
		if e, ok := decode(set, &els[i]); ok && f.stale(&e) {
			out = append(out, e)
		}
	}
	return out
}

// forget deletes elements. One that expired since it was listed makes the kernel
// refuse its batch; then the batch is halved until that one is alone.
func (t *Table) forget(ctx context.Context, es []element) (int, error) {
	if len(es) == 0 {
		return 0, nil
	}
	if len(es) <= DefaultLimit {
		err := t.Commit(ctx, &Batch{dels: es})
		if err == nil {
			return len(es), nil
		}
		if !errors.Is(err, unix.ENOENT) || len(es) == 1 {
			return 0, ignoreMissing(err)
		}
	}
	half := len(es) / 2
	n, err := t.forget(ctx, es[:half])
	if err != nil {
		return n, err
	}
	m, err := t.forget(ctx, es[half:])
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
	set, ok := setNamed(text(got[unix.NFTA_SET_ELEM_LIST_SET]))
	return ok && set.row().learnt
}
