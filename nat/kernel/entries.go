// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// LoadEntries reads one map with its counters and lifetimes, for people to read. It
// leaves out elements that no batch and no rule of the table writes. It is for maps
// of backends and of session affinity; a map that does not exist has no entries.
func (t *Table) LoadEntries(ctx context.Context, set ruleset.Set) ([]ruleset.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []ruleset.Entry
	err := gather(t.socket, set, func() { out = nil }, func(el *nft.Element) {
		if e, ok := decode(set, el); ok || set.Spec().Learnt && e != (ruleset.Element{}) {
			out = append(out, ruleset.Entry{
				Element: e, Packets: el.Packets, Bytes: el.Bytes,
				Timeout: time.Duration(el.Timeout) * time.Millisecond, Expires: time.Duration(el.Expires) * time.Millisecond,
			})
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list elements of %s: %w", set, classify(err))
	}
	return out, nil
}
