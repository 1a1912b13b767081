// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// BackendCounters reads all counters, in the order of frontends and backends. There
// are none without Settings.BackendCounters. It costs one pass over the backends,
// and up to three while the table changes; then it misses a backend now and then,
// hardly ever the same one twice in succession. It has a socket of its own, which stays
// open for the next call, and may run beside all other methods.
//
// The packet that opens a connection is counted when its backend is drawn. A
// connection that session affinity sends to its backend is not drawn, so a sticky
// frontend counts clients.
func (t *Table) BackendCounters(ctx context.Context) ([]nat.BackendCounter, error) {
	found := map[counterKey]nat.BackendCounter{}
	err := t.counters.read(func(socket *nl.Socket) (err error) {
		ruleset.AllSets(func(s ruleset.Set) {
			if err == nil && s.IsSlots() {
				err = readCounters(ctx, socket, s, found)
			}
		})
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // there is no table
	}
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", classify(err))
	}
	return slices.SortedFunc(maps.Values(found), func(a, b nat.BackendCounter) int {
		return cmp.Or(a.Frontend.Compare(b.Frontend), a.Backend.Compare(b.Backend))
	}), nil
}

// counterKey is a backend, in whichever slot.
type counterKey struct {
	frontend inet.Addr
	backend  netip.AddrPort
	local    bool
}

// counterTries bounds how often a map is read that changes meanwhile. The kernel
// counts the elements that it has reported, so a pass misses about one for each
// that is deleted, and repeats one for each that is added (nft_rhash_walk). Another
// pass hardly ever misses the same one.
const counterTries = 3

// readCounters reads one map. It keeps what any pass has seen: a backend that was
// just deleted does less harm than a missing one that stays.
func readCounters(ctx context.Context, socket *nl.Socket, s ruleset.Set, found map[counterKey]nat.BackendCounter) error {
	for range counterTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := generation(socket)
		if err != nil {
			return err
		}
		err = eachElement(socket, s, func(el *nft.Element) {
			if e, ok := decode(s, el); ok && el.Counter {
				local := s.Kind == ruleset.Locals || s.Kind == ruleset.NodeLocals
				found[counterKey{e.Key, e.Data, local}] = nat.BackendCounter{
					Frontend: e.Key, Backend: e.Data, Owner: e.Comment, Connections: el.Packets, Local: local,
				}
			}
		})
		if err != nil && !errors.Is(err, nl.ErrInterrupted) && !errors.Is(err, nl.ErrLost) {
			return fmt.Errorf("list elements of %s: %w", s, err)
		}
		after, genErr := generation(socket)
		if genErr != nil || after == before && err == nil {
			return genErr
		}
	}
	return nil
}
