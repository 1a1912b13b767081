// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// The kernel lists a set in parts of 32 KiB, and finds each part by walking over all elements
// that it has listed before (nft_rhash_walk). The time of a dump grows with the square of the
// number of elements. A question for an element by its key takes the same time in each set.
//
// The keys of a map of backends follow from the verdicts of its frontends. The kernel says how
// many elements a set has (NFTA_SET_COUNT, seen with 6.18). If it has as many as answered, these are
// all.

const (
	// slotsAtOnce is how many slots are asked for with one write. Their answers fit into a
	// receive buffer of the default size.
	slotsAtOnce = 256
	// slotTries is how often a map is read by its keys while transactions come between.
	slotTries = 3
)

// errIncomplete means that a set has elements with other keys, or that the kernel cannot be
// asked.
var errIncomplete = errors.New("not all elements are known by their keys")

// loadSlots reads a map of backends by the keys of its frontends, whose verdicts were read
// before. It reports false, and leaves the snapshot as it was, if only a dump can tell what the
// map has.
func (l *loader) loadSlots(s ruleset.Set) (bool, error) {
	if !s.IsSlots() || l.counts[s] <= l.few {
		return false, nil
	}
	elements, strays := l.found.Elements.Mark(), len(l.found.Strays)
	var frontends []slots
	for range slotTries {
		frontends = l.slotsIn(s, frontends[:0])
		err := l.askSlots(s, frontends)
		if err == nil {
			return true, nil
		}
		l.found.Elements.Cut(elements)
		l.found.Strays = l.found.Strays[:strays]
		switch {
		case errors.Is(err, nl.ErrInterrupted):
		case errors.Is(err, errIncomplete), errors.Is(err, unix.ENOBUFS):
			return false, nil
		default:
			return false, err
		}
	}
	return false, nil
}

// slots are those that a frontend may have in one map. They are filled from the first one on.
type slots struct {
	key inet.Addr
	n   uint32
}

// slotsIn returns the frontends with slots in a map, according to their verdicts.
func (l *loader) slotsIn(s ruleset.Set, out []slots) []slots {
	most := map[string]uint32{}
	for e := range l.found.Elements.All() {
		if e.Set.Kind != ruleset.VIPs && e.Set.Kind != ruleset.NodePorts {
			break // the verdicts come first
		}
		if ruleset.BackendsOf(e.Key) != s && ruleset.LocalsOf(e.Key) != s {
			continue
		}
		n, known := most[e.Verdict]
		if !known {
			shape, _ := ruleset.ShapeOfVerdict(e.Verdict, e.Set.Family, e.Key.IsNodePort())
			n = uint32(shape.SlotsIn(s.Kind))
			most[e.Verdict] = n
		}
		if n > 0 {
			out = append(out, slots{e.Key, n})
		}
	}
	return out
}

// askSlots adds the elements of a map that frontends have. It returns errIncomplete if the
// map has others, and nl.ErrInterrupted if there was a transaction meanwhile and the map had another
// number of elements before or after it. A question by a key cannot miss an element, unlike a dump, and
// a change of this map that comes too late for it is announced to the Watch.
func (l *loader) askSlots(s ruleset.Set, frontends []slots) error {
	a := asking{loader: l, set: s}
	before, err := l.count(s)
	if err != nil {
		return err
	}
	a.generation = before.generation
	for _, f := range frontends {
		for first := uint32(0); first < f.n; first += slotsAtOnce {
			if err := a.ask(f.key, first, min(slotsAtOnce, f.n-first)); err != nil {
				return err
			}
		}
	}
	self.GetElement(&a.m, s.String(), nil) // the element for all other keys is not counted
	if err := a.flush(); err != nil {
		return err
	}
	after, err := l.count(s)
	switch {
	case err != nil:
		return err
	case (a.changed || after.generation != before.generation) && (a.found != before.elements || a.found != after.elements):
		return nl.ErrInterrupted
	case a.found != after.elements:
		return errIncomplete
	}
	return nil
}

// counted is how many elements a set has after a transaction.
type counted struct {
	elements   uint32
	generation uint16
}

// count returns errIncomplete if the kernel does not count elements.
func (l *loader) count(s ruleset.Set) (counted, error) {
	var m nl.Messages
	self.GetSet(&m, s.String())
	var c counted
	counts := false
	err := l.socket.Get(&m, func(r nl.Reply) {
		c.elements, counts = nft.ReadCount(r)
		c.generation = nft.Generation16(r)
	})
	if err == nil && !counts {
		err = errIncomplete
	}
	return c, err
}

// asking reads elements of one set by their keys.
type asking struct {
	*loader
	set        ruleset.Set
	m          nl.Messages
	pending    uint32 // keys in m
	key        [maxKey]byte
	texts      nft.Reader
	generation uint16
	changed    bool // an answer has another generation
	found      uint32
}

// ask asks for slots of a frontend. The kernel answers one after the other, up to the first
// that is empty.
func (a *asking) ask(key inet.Addr, first, n uint32) error {
	if a.pending+n > slotsAtOnce {
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.pending += n
	e := ruleset.Element{Set: a.set, Key: key}
	self.PutElements(&a.m, unix.NFT_MSG_GETSETELEM, a.set.String(), int(n), func(i int, el *nft.Element) bool {
		e.Slot = first + uint32(i)
		el.Key = appendKey(a.key[:0], &e, false)
		return true
	})
	return nil
}

// flush asks and reads the answers.
func (a *asking) flush() error {
	refused := false
	err := a.socket.GetAll(&a.m, func(_ int, r nl.Reply) {
		a.changed = a.changed || nft.Generation16(r) != a.generation
		a.texts.Elements(r, func(el *nft.Element) {
			a.found++
			a.addElement(a.set, el)
		})
	}, func(_ int, err error) {
		refused = refused || !errors.Is(err, unix.ENOENT) // an empty slot
	})
	a.m.Reset()
	a.pending = 0
	if err == nil && refused {
		err = errIncomplete
	}
	return err
}
