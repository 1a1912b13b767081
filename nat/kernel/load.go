// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Load reads what the kernel has. A table that does not exist is an empty Snapshot
// and no error. It costs one pass over all elements but those of affinity maps.
func (t *Table) Load(ctx context.Context) (*ruleset.Snapshot, error) { return t.load(ctx, allElements) }

// LoadMost is Load without the elements of large sets that follow from backends, which are in
// Snapshot.Unread. A kernel that does not count elements has all of them read.
func (t *Table) LoadMost(ctx context.Context) (*ruleset.Snapshot, error) {
	return t.load(ctx, mostElements)
}

// LoadRules is Load without elements, which costs little however many there are.
func (t *Table) LoadRules(ctx context.Context) (*ruleset.Snapshot, error) {
	return t.load(ctx, noElements)
}

// Exists reports whether the table is there. It costs one question.
func (t *Table) Exists(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := t.renew(); err != nil {
		return false, err
	}
	l := loader{socket: t.socket, found: &ruleset.Snapshot{}}
	if err := l.loadTable(); err != nil {
		return false, classify(err)
	}
	return l.found.Exists, nil
}

// extent is how many of the elements are read.
type extent int

const (
	noElements extent = iota
	mostElements
	allElements
)

func (t *Table) load(ctx context.Context, elements extent) (*ruleset.Snapshot, error) {
	if elements != noElements {
		t.names.take() // those that are named from now on may be read too early
	}
	if err := t.renew(); err != nil {
		return nil, err
	}
	var found *ruleset.Snapshot
	err := nl.Repeat("table "+ruleset.TableName, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := loader{socket: t.socket, few: t.few, counts: map[ruleset.Set]uint32{}, found: &ruleset.Snapshot{
			Sets: map[ruleset.Set]bool{}, Chains: map[string]*ruleset.Chain{}, Ranges: map[ruleset.Set][]netip.Prefix{},
			Unread: map[ruleset.Set]int{},
		}}
		err := l.load(elements)
		found = l.found
		return err
	})
	if err != nil {
		return nil, classify(err)
	}
	return found, nil
}

func (l *loader) load(elements extent) error {
	if err := l.loadTable(); err != nil || !l.found.Exists {
		return err
	}
	parts := []func() error{l.loadSets, l.loadObjects, l.loadProgram}
	if elements != noElements {
		parts = append(parts, func() error { return l.loadElements(elements == mostElements) })
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return vanished(err)
		}
	}
	return nil
}

// vanished returns nl.ErrInterrupted for an object that was deleted since it was
// listed.
func vanished(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: %w", nl.ErrInterrupted, err)
	}
	return err
}

func (l *loader) loadTable() error {
	var m nl.Messages
	self.Get(&m, unix.NFT_MSG_GETTABLE)
	var flags, owner uint32
	err := l.socket.Get(&m, func(r nl.Reply) { flags, owner = nft.ReadTable(r) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("get table: %w", err)
	case owner != 0:
		return fmt.Errorf("table inet %s belongs to another program, which has netlink port %d: stop that program", ruleset.TableName, owner)
	}
	l.found.Exists, l.found.Flags = true, flags
	return nil
}

func (l *loader) dump(what string, kind uint16, each func(nl.Reply)) error {
	var m nl.Messages
	self.Get(&m, kind)
	err := l.socket.Dump(&m, func(r nl.Reply) {
		if nft.TableOf(r) == self { // a kernel may list all tables
			each(r)
		}
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

func (l *loader) loadSets() error {
	const anonymous = 1 // NFT_SET_ANONYMOUS: part of a rule, and goes with it
	return settle(func() error {
		clear(l.found.Sets)
		l.found.StraySets = nil
		return l.dump("sets", unix.NFT_MSG_GETSET, func(r nl.Reply) {
			got := nft.ReadSet(r)
			set, ok := ruleset.SetNamed(got.Name)
			switch {
			case ok:
				l.found.Sets[set] = got.SameAs(set.Declaration())
				l.counts[set], _ = nft.ReadCount(r)
			case got.Flags&anonymous == 0:
				l.found.StraySets = append(l.found.StraySets, got.Name)
			}
		})
	}, func() uint64 { return digest(l.found.Sets, l.found.StraySets) })
}

func (l *loader) loadObjects() error {
	note := func(r nl.Reply) {
		name, kind := nft.ReadObject(r)
		l.found.StrayObjects = append(l.found.StrayObjects, ruleset.Object{Name: name, Type: kind})
	}
	return settle(func() error {
		l.found.StrayObjects = nil
		err := l.dump("objects", unix.NFT_MSG_GETOBJ, note)
		if err != nil && !isTorn(err) {
			return err
		}
		return errors.Join(err, l.dump("flowtables", unix.NFT_MSG_GETFLOWTABLE, note))
	}, func() uint64 { return digest(l.found.StrayObjects) })
}

// loadProgram reads chains with their rules.
func (l *loader) loadProgram() error {
	return settle(func() error {
		clear(l.found.Chains)
		err := l.loadChains()
		if err != nil && !isTorn(err) {
			return err
		}
		return errors.Join(err, l.loadRules())
	}, func() uint64 {
		prints := make(map[string]string, len(l.found.Chains))
		for name, c := range l.found.Chains {
			prints[name] = c.Fingerprint()
		}
		return digest(prints)
	})
}

// digest returns a hash of what parts print. Maps print in the order of their keys.
func digest(parts ...any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%v", parts)
	return h.Sum64()
}

func (l *loader) loadChains() error {
	return l.dump("chains", unix.NFT_MSG_GETCHAIN, func(r nl.Reply) {
		name, hook := nft.ReadChain(r)
		c := &ruleset.Chain{Name: name}
		if hook != nil {
			c.Hook = &ruleset.Hook{
				Type: nftables.ChainType(hook.Type), Number: nftables.ChainHook(hook.Number),
				Priority: nftables.ChainPriority(hook.Priority), Drops: hook.Policy == nft.PolicyDrop,
			}
		}
		l.found.Chains[name] = c
	})
}

func (l *loader) loadRules() error {
	return l.dump("rules", unix.NFT_MSG_GETRULE, func(r nl.Reply) {
		chain, exprs := nft.ReadRule(r)
		if c := l.found.Chains[chain]; c != nil {
			c.AddFound(nft.ReadHandle(r), nft.ReadExprs(self.Family, exprs))
		}
	})
}

func (l *loader) loadElements(most bool) error {
	var failed error
	load := func(s ruleset.Set) {
		if most && l.found.Sets[s] && s.FollowsBackends() && l.counts[s] > l.few {
			l.found.Unread[s] = int(l.counts[s])
			return
		}
		if failed == nil && l.found.Sets[s] && !s.Spec().Learnt {
			if failed = l.loadSet(s); failed != nil {
				failed = fmt.Errorf("list elements of %s: %w", s, failed)
			}
		}
	}
	ruleset.AllSets(load) // the maps of verdicts first, which tell whose a frontend is
	for _, set := range slices.SortedFunc(maps.Keys(l.found.Sets), ruleset.CompareSets) {
		if set.OnDemand() {
			load(set)
		}
	}
	return failed
}

func (l *loader) loadSet(s ruleset.Set) error {
	if s.Spec().IsInterval() {
		return l.loadRanges(s)
	}
	if whole, err := l.loadSlots(s); whole || err != nil {
		return err
	}
	elements, strays := l.found.Elements.Mark(), len(l.found.Strays)
	return gather(l.socket, s, l.counts[s], func() {
		l.found.Elements.Cut(elements)
		l.found.Strays = l.found.Strays[:strays]
	}, func(el *nft.Element) { l.addElement(s, el) })
}

// loadRanges reads a set that settings fill. One stray element spoils it.
func (l *loader) loadRanges(s ruleset.Set) error {
	var bounds []bound
	whole := true
	stray := ruleset.Stray{Set: s}
	err := settle(func() error {
		bounds, whole = nil, true
		return eachElement(l.socket, s, func(el *nft.Element) {
			b, skip, ok := readBound(el)
			if whole && !ok {
				stray.Key, stray.Flags, stray.Odd = string(el.Key), el.Flags, oddOfBound(el)
			}
			whole = whole && ok
			if ok && !skip {
				bounds = append(bounds, b)
			}
		})
	}, func() uint64 { return digest(bounds, whole) })
	if err != nil {
		return err
	}
	ranges, ok := readRanges(bounds)
	if !whole || !ok {
		l.found.Strays = append(l.found.Strays, stray)
		ranges = nil
	}
	l.found.Ranges[s] = ranges
	return nil
}
