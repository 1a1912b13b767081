// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Name makes the next LoadNamed read the elements of these operations.
func (t *Table) Name(b ruleset.Batch) {
	var key [maxKey]byte
	for i := range b {
		switch o := &b[i]; {
		case o.Stray != nil:
			t.names.add(o.Stray.Set, []byte(o.Stray.Key))
		case isElement(o):
			t.names.add(o.Element.Set, appendKey(key[:0], &o.Element, false))
		}
	}
}

// namesAtOnce is how many elements are asked for with one write. Their answers fit into a
// receive buffer of the default size.
const namesAtOnce = 64

// LoadNamed reads the elements that Name and the notifications of Watch have named since the
// last call of LoadNamed or Load. It returns nat.ErrTooLarge if they were too many, and
// nat.ErrDrift if a set is missing. After an error call Load.
func (t *Table) LoadNamed(ctx context.Context) (*ruleset.Named, error) {
	all, complete := t.names.take()
	if !complete {
		return nil, fmt.Errorf("more than %d elements have changed: %w", mostNames, nat.ErrTooLarge)
	}
	found, err := t.loadNamed(ctx, all)
	if err != nil {
		t.names.lose()
		return nil, fmt.Errorf("read %d elements: %w", len(all), classify(err))
	}
	return found, nil
}

func (t *Table) loadNamed(ctx context.Context, all []name) (*ruleset.Named, error) {
	if err := t.renew(); err != nil {
		return nil, err
	}
	out := &ruleset.Named{}
	l := loader{socket: t.socket, found: &out.Found}
	l.found.Ranges = map[ruleset.Set][]netip.Prefix{}
	var single []name
	for _, n := range all {
		switch {
		case n.set.Spec().IsInterval():
			if err := l.loadRanges(n.set); err != nil {
				return nil, err
			}
		default:
			e, _ := decode(n.set, &nft.Element{Key: []byte(n.key)})
			out.Asked = append(out.Asked, ruleset.Stray{Set: n.set, Key: n.key, Element: e})
			single = append(single, n)
		}
	}
	for chunk := range slices.Chunk(single, namesAtOnce) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.loadSingle(chunk); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loadSingle reads elements by their keys.
func (l *loader) loadSingle(chunk []name) error {
	var m nl.Messages
	for _, n := range chunk {
		self.GetElement(&m, n.set.String(), []byte(n.key))
	}
	var texts nft.Reader
	var failed error
	err := l.socket.GetAll(&m, func(i int, r nl.Reply) {
		texts.Elements(r, func(el *nft.Element) { l.addElement(chunk[i].set, el) })
	}, func(_ int, err error) {
		if !errors.Is(err, unix.ENOENT) { // the element is not there
			failed = err
		}
	})
	return cmp.Or(err, failed)
}
