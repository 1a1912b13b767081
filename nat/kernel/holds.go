// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Holds reports whether the kernel has all of these elements of one set, each as a Batch writes it.
// Name the elements for LoadNamed to learn which of them differ.
func (t *Table) Holds(ctx context.Context, elements []ruleset.Element) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := t.renew(); err != nil {
		return false, err
	}
	for len(elements) > 0 {
		n := min(len(elements), slotsAtOnce)
		held, err := t.holds(elements[:n])
		if err != nil {
			return false, fmt.Errorf("read %d elements: %w", n, classify(err))
		}
		if held != n {
			return false, nil
		}
		elements = elements[n:]
	}
	return true, nil
}

// holds returns how many of a few elements the kernel has, up to the first one that is missing.
func (t *Table) holds(elements []ruleset.Element) (held int, err error) {
	var m nl.Messages
	var key [maxKey]byte
	set := elements[0].Set
	self.PutElements(&m, unix.NFT_MSG_GETSETELEM, set.String(), len(elements), func(i int, el *nft.Element) bool {
		el.Key = appendKey(key[:0], &elements[i], false)
		return true
	})
	var texts nft.Reader
	var failed error
	err = t.socket.GetAll(&m, func(_ int, r nl.Reply) {
		texts.Elements(r, func(el *nft.Element) {
			if e, ok := decode(set, el); ok && held < len(elements) && e == elements[held] {
				held++
			}
		})
	}, func(_ int, err error) {
		if !errors.Is(err, unix.ENOENT) { // an element that is not there
			failed = err
		}
	})
	return held, cmp.Or(err, failed)
}

// Count returns how many elements a set has, without the one for all other keys. It reports false if
// the kernel does not say.
func (t *Table) Count(ctx context.Context, s ruleset.Set) (n int, counts bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	if err := t.renew(); err != nil {
		return 0, false, err
	}
	l := loader{socket: t.socket}
	c, err := l.count(s)
	switch {
	case errors.Is(err, errIncomplete):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("count elements of %s: %w", s, classify(err))
	}
	return int(c.elements), true, nil
}
