// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// BackendCounters reads all counters, in the order of frontends and backends;
// none where there are none, as without Settings.BackendCounters. It costs one
// pass over the backends, and up to three while the table changes; then a backend
// may be missing, which happens seldom, and hardly ever twice in succession. It works on a socket of its own, so that it may run
// beside all other methods.
//
// A connection is counted by its first packet, when the backend is drawn. One
// that session affinity sends to its backend is not drawn: of a sticky frontend
// clients are counted.
func (t *Table) BackendCounters(ctx context.Context) ([]nat.BackendCounter, error) {
	own := &Table{ns: t.ns, table: t.table}
	if err := own.dial(); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	defer func() { _ = own.Close() }()
	found := map[counterKey]nat.BackendCounter{}
	var failed error
	ruleset.AllSets(func(s ruleset.Set) {
		if failed == nil && s.IsSlots() {
			failed = own.readCounters(ctx, s, found)
		}
	})
	if errors.Is(failed, unix.ENOENT) {
		return nil, nil // there is no table
	}
	if failed != nil {
		return nil, fmt.Errorf("read counters: %w", classify(failed))
	}
	return slices.SortedFunc(maps.Values(found), func(a, b nat.BackendCounter) int {
		return cmp.Or(a.Frontend.Compare(b.Frontend), a.Backend.Compare(b.Backend))
	}), nil
}

// counterKey is a backend, whatever its slot.
type counterKey struct {
	frontend inet.Addr
	backend  netip.AddrPort
	local    bool
}

// counterTries bounds how often a map is read that changes meanwhile. The kernel
// counts the elements that it has reported, so that a pass misses about one for
// each that goes, and repeats one for each that comes (nft_rhash_walk); another pass
// seldom misses the same.
const counterTries = 3

// readCounters reads one map. What any of its passes has seen is found: rather a
// backend that has just gone than none of one that stays.
func (t *Table) readCounters(ctx context.Context, s ruleset.Set, found map[counterKey]nat.BackendCounter) error {
	set := attrs(str(unix.NFTA_SET_ELEM_LIST_TABLE, ruleset.TableName), str(unix.NFTA_SET_ELEM_LIST_SET, s.String()))
	for range counterTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := t.generation()
		if err != nil {
			return err
		}
		msgs, err := t.dump(unix.NFT_MSG_GETSETELEM, set)
		if err != nil {
			return fmt.Errorf("list elements of %s: %w", s, err)
		}
		for _, m := range msgs {
			for _, c := range countersIn(s, m.Data[4:]) {
				found[counterKey{c.Frontend, c.Backend, c.Local}] = c
			}
		}
		if after, err := t.generation(); err != nil || after == before {
			return err
		}
	}
	return nil
}

// generation returns the number of the last commit to any table.
func (t *Table) generation() (uint32, error) {
	ask := message(unix.NFT_MSG_GETGEN, 0, nil)
	ask.Header.Flags = netlink.Request
	msgs, err := t.raw.Execute(ask)
	if err != nil {
		return 0, fmt.Errorf("ask for generation: %w", err)
	}
	if len(msgs) == 0 || len(msgs[0].Data) < 4 {
		return 0, nil
	}
	return be32(attributes(msgs[0].Data[4:])[unix.NFTA_GEN_ID]), nil
}

// countersIn reads one message of a dump.
func countersIn(s ruleset.Set, body []byte) []nat.BackendCounter {
	list, err := netlink.UnmarshalAttributes(attributes(body)[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
	if err != nil {
		return nil
	}
	var out []nat.BackendCounter
	for _, item := range list {
		got := attributes(item.Data)
		counter := attributes(got[unix.NFTA_SET_ELEM_EXPR])
		packets := attributes(counter[unix.NFTA_EXPR_DATA])[unix.NFTA_COUNTER_PACKETS]
		if text(counter[unix.NFTA_EXPR_NAME]) != "counter" || len(packets) != 8 {
			continue
		}
		el := nftables.SetElement{
			Key: attributes(got[unix.NFTA_SET_ELEM_KEY])[unix.NFTA_DATA_VALUE],
			Val: attributes(got[unix.NFTA_SET_ELEM_DATA])[unix.NFTA_DATA_VALUE],
		}
		el.Comment, _ = userdata.GetString(got[unix.NFTA_SET_ELEM_USERDATA], userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
		if e, ok := decode(s, &el); ok {
			out = append(out, nat.BackendCounter{
				Frontend: e.Key, Backend: e.Data, Owner: e.Comment, Connections: binary.BigEndian.Uint64(packets),
				Local: s.Kind == ruleset.Locals || s.Kind == ruleset.NodeLocals,
			})
		}
	}
	return out
}
