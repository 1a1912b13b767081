// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/worker"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// AffinityCleaner deletes session affinity entries whose backend was removed. There
// can be far more clients than backends, so deletion runs in its own goroutine and
// on its own socket and does not delay commits. Remove and RemoveExcept are safe for
// concurrent use and never wait for the kernel; Run is the worker.
type AffinityCleaner struct {
	ns    *netns.NS
	table *Table // whose Watch knows the cleaner; may be nil
	inbox *worker.Inbox[cleaning]
	// searchAt is when all maps may be searched again. Run alone uses it.
	searchAt time.Time
}

// cleaning says which entries to delete. A pair without backend stands for all
// backends of a frontend.
type cleaning struct {
	gone map[nat.Pair]struct{}
	keep nat.Remembered // if not nil, every other entry goes
}

// NewAffinityCleaner returns an AffinityCleaner for the table in a network
// namespace, nil for that of the process. It does nothing until Run.
func NewAffinityCleaner(ns *netns.NS) *AffinityCleaner {
	return &AffinityCleaner{ns: ns, inbox: worker.NewInbox[cleaning]()}
}

// Beside makes the Watch of a table take what the cleaner deletes for the table's own changes, so
// that it is no reason to read the table. Call it before Run, with a table of the same namespace.
func (c *AffinityCleaner) Beside(t *Table) { c.table = t }

// Remove deletes the entries of pairs. Call it once the batch is committed that
// removes the backends: before that, a returning client would get a new entry.
func (c *AffinityCleaner) Remove(pairs []nat.Pair) {
	c.inbox.Add(func(work *cleaning) bool {
		work.remove(slices.Values(pairs))
		return len(pairs) > 0
	})
}

// RemoveExcept deletes every affinity entry whose backend is not in keep. Call it
// after each Load, because entries may have been missed or forged before. The next search may
// wait for up to a minute, so that searches take little of a core while another program keeps
// writing entries.
func (c *AffinityCleaner) RemoveExcept(keep nat.Remembered) {
	c.inbox.Add(func(work *cleaning) bool {
		work.keep = keep
		return true
	})
}

func (c *cleaning) remove(pairs func(func(nat.Pair) bool)) {
	for p := range pairs {
		if c.gone == nil {
			c.gone = map[nat.Pair]struct{}{}
		}
		c.gone[p] = struct{}{}
	}
}

// The next search of all maps begins after searchRest times what the last one took, and after
// lastSearchRest at most.
const (
	searchRest     = 30
	lastSearchRest = time.Minute
)

// restAfter returns how long to wait after a search of all maps.
func restAfter(took time.Duration) time.Duration { return min(searchRest*took, lastSearchRest) }

// take removes from the inbox what is due. A search that is not stays there, and again wakes
// the worker for it.
func (c *AffinityCleaner) take(again *time.Timer) (todo cleaning) {
	c.inbox.Add(func(work *cleaning) bool {
		todo = *work
		*work = cleaning{}
		if wait := time.Until(c.searchAt); todo.keep != nil && wait > 0 {
			todo.keep, work.keep = nil, todo.keep
			again.Reset(wait)
		}
		return false
	})
	return todo
}

// backoff are the delays after a failed pass.
var backoff = worker.Backoff{First: 20 * time.Millisecond, Last: 10 * time.Second}

// Run deletes entries until ctx is done, then returns nil. It calls report after
// each pass with the number of deleted entries and an error if the pass will be
// repeated.
func (c *AffinityCleaner) Run(ctx context.Context, report func(clients int, err error)) error {
	// The socket stays open, because closing one delays commits (nft_rcv_nl_event in kernel
	// 6.18): nf_tables keeps its mutex while it waits for what earlier commits destroy.
	var kept *Table
	closeKept := func() {
		if kept != nil {
			_ = kept.Close()
			kept = nil
		}
	}
	defer closeKept()
	open := func() (*Table, error) {
		if kept != nil {
			return kept, nil
		}
		var err error
		kept, err = openBeside(c.ns, nil, c.table)
		return kept, err
	}
	again := time.AfterFunc(time.Hour, c.inbox.Wake)
	defer again.Stop()
	return worker.Run(ctx, c.inbox.Woken(), backoff, func(ctx context.Context) error {
		todo, began := c.take(again), time.Now()
		n, err := todo.carryOut(ctx, open)
		if todo.keep != nil {
			end := time.Now()
			c.searchAt = end.Add(restAfter(end.Sub(began)))
		}
		if err != nil {
			closeKept()
			c.putBack(todo)
			err = fmt.Errorf("delete session affinity entries: %w", err)
		}
		if ctx.Err() == nil {
			report(n, err)
		}
		return err
	})
}

// putBack adds the work of a failed pass to what has come since.
func (c *AffinityCleaner) putBack(todo cleaning) {
	c.inbox.Add(func(work *cleaning) bool {
		for p := range todo.gone {
			work.remove(func(yield func(nat.Pair) bool) { yield(p) })
		}
		if work.keep == nil {
			work.keep = todo.keep
		}
		return false
	})
}

// isStale reports whether an entry is to be deleted.
func (c *cleaning) isStale(e *ruleset.Element) bool {
	local := e.Set.IsLocalAffinity()
	pair := nat.Pair{Frontend: e.Key, Backend: e.Data, Local: local}
	for _, p := range []nat.Pair{pair, {Frontend: e.Key, Local: local}} {
		if _, ok := c.gone[p]; ok {
			return true
		}
	}
	return c.keep != nil && !c.keep.Has(pair)
}

// sets returns the maps that may hold a stale entry.
func (c *cleaning) sets() []ruleset.Set {
	seen := map[ruleset.Set]bool{}
	for p := range c.gone {
		seen[ruleset.AffinityOf(p.Frontend, p.Local, 0)] = true
	}
	var out []ruleset.Set
	ruleset.AllSets(func(s ruleset.Set) {
		if !s.Spec().Learnt || !seen[s] && c.keep == nil {
			return
		}
		for s.Number = 0; s.Number <= ruleset.MaxShares; s.Number++ { // those that do not exist cost a question
			out = append(out, s)
		}
	})
	return out
}

func (c *cleaning) carryOut(ctx context.Context, open func() (*Table, error)) (int, error) {
	sets := c.sets()
	if len(sets) == 0 {
		return 0, nil
	}
	t, err := open()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, set := range sets {
		n, err := c.clean(ctx, t, set)
		total += n
		if err != nil {
			return total, fmt.Errorf("%s: %w", set, err)
		}
	}
	return total, nil
}

// cleanTries bounds how often a map is searched in one pass. quietTries is how many
// searches in a row find nothing stale in a map that changes meanwhile.
const cleanTries, quietTries = 8, 3

// clean searches a map until it finds nothing stale. A client whose entry was looked
// up before it was deleted writes it again, and a listing can miss entries while
// others come and go.
func (c *cleaning) clean(ctx context.Context, t *Table, set ruleset.Set) (int, error) {
	total, quiet := 0, 0
	for range cleanTries {
		stale, whole, err := c.search(t, set)
		if errors.Is(err, unix.ENOENT) {
			return total, nil // no map, no entries
		}
		if err != nil {
			return total, err
		}
		if len(stale) == 0 {
			if quiet++; whole || quiet == quietTries {
				return total, nil
			}
			continue
		}
		quiet = 0
		n, err := t.deleteElements(ctx, stale)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, fmt.Errorf("stale entries came back %d times", cleanTries)
}

// search lists stale entries. It reports whether the listing was whole, as far as that can
// be known.
func (c *cleaning) search(t *Table, set ruleset.Set) (stale []ruleset.Op, whole bool, err error) {
	k := keys{seed: maphash.MakeSeed()}
	err = eachElement(t.socket, set, func(el *nft.Element) {
		k.add(el)
		e, _ := decode(set, el) // each entry has a timeout, which others may not have
		if c.isStale(&e) {
			stale = append(stale, deletion(set, el, e))
		}
	})
	if isTorn(err) {
		return stale, false, nil
	}
	return stale, !k.doubled(), err
}

// deletion returns an operation that deletes el, of which e is what could be read.
func deletion(set ruleset.Set, el *nft.Element, e ruleset.Element) ruleset.Op {
	if e == (ruleset.Element{}) {
		return ruleset.Op{Verb: ruleset.DeleteElement, Stray: &ruleset.Stray{
			Set: set, Key: string(el.Key), KeyEnd: string(el.KeyEnd), Flags: el.Flags,
		}}
	}
	return ruleset.Op{Verb: ruleset.DeleteElement, Element: e}
}

// deleteElements deletes entries and returns how many. The kernel refuses a batch
// with entries that expired since they were listed, and names them; the rest is
// tried again.
func (t *Table) deleteElements(ctx context.Context, ops ruleset.Batch) (int, error) {
	total := 0
	for len(ops) > 0 {
		n := min(len(ops), ruleset.DefaultLimit)
		batch := ops[:n]
		for {
			err := t.Commit(ctx, batch)
			if err == nil {
				total += len(batch)
				break
			}
			left, ok := withoutMissing(batch, err)
			if !ok {
				return total, err
			}
			if batch = left; len(batch) == 0 {
				break
			}
		}
		ops = ops[n:]
	}
	return total, nil
}

// withoutMissing returns the operations that the kernel did not refuse. It reports
// false if it refused one for another reason than that the entry is gone.
func withoutMissing(batch ruleset.Batch, err error) (ruleset.Batch, bool) {
	var refused *ruleset.RefusedError
	if !errors.As(err, &refused) {
		return nil, false
	}
	missing := map[int]bool{}
	for _, r := range refused.Refusals {
		if r.Index == ruleset.Whole || !errors.Is(r.Err, unix.ENOENT) {
			return nil, false
		}
		missing[r.Index] = true
	}
	var left ruleset.Batch
	for i, o := range batch {
		if !missing[i] {
			left = append(left, o)
		}
	}
	return left, true
}
