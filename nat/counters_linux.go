// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/l4"
)

// BackendCounter is how many connections an element of a backend has counted
// since it was written. A backend that gets another slot begins at 0.
type BackendCounter struct {
	Frontend l4.Addr
	Backend  netip.AddrPort
	// Local is set for the second element that a backend on this node has, for
	// connections that policy Local keeps on the node.
	Local       bool
	Owner       string // as in Frontend, shortened to 128 bytes
	Connections uint64
}

// BackendCounters reads all counters, in the order of frontends and backends;
// none where there are none, as without Settings.BackendCounters. It costs one
// pass over the backends. It works on a socket of its own, so that it may run
// beside all other methods.
//
// A connection is counted by its first packet, when the backend is drawn. One
// that session affinity sends to its backend is not drawn: of a sticky frontend
// clients are counted.
func (t *Table) BackendCounters(ctx context.Context) ([]BackendCounter, error) {
	own := &Table{ns: t.ns, table: t.table}
	if err := own.dial(); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	defer func() { _ = own.Close() }()
	var out []BackendCounter
	var failed error
	allSets(func(s setID) {
		if failed != nil || !s.isSlots() {
			return
		}
		var found []BackendCounter
		found, failed = own.counters(ctx, s)
		out = append(out, found...)
	})
	if errors.Is(failed, unix.ENOENT) {
		return nil, nil // there is no table
	}
	if failed != nil {
		return nil, fmt.Errorf("read counters: %w", classify(failed))
	}
	slices.SortFunc(out, func(a, b BackendCounter) int {
		return cmp.Or(a.Frontend.Compare(b.Frontend), a.Backend.Compare(b.Backend))
	})
	return out, nil
}

// counters reads one map, again where a change has interrupted it.
func (t *Table) counters(ctx context.Context, s setID) ([]BackendCounter, error) {
	set := attrs(str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName), str(unix.NFTA_SET_ELEM_LIST_SET, s.String()))
	for range loadTries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		msgs, err := t.dump(unix.NFT_MSG_GETSETELEM, set)
		if err != nil {
			return nil, fmt.Errorf("list elements of %s: %w", s, err)
		}
		if slices.ContainsFunc(msgs, func(m netlink.Message) bool { return m.Header.Flags&netlink.DumpInterrupted != 0 }) {
			continue
		}
		var out []BackendCounter
		for _, m := range msgs {
			out = append(out, countersIn(s, m.Data[4:])...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("list elements of %s: %w", s, unix.EINTR)
}

// countersIn reads one message of a dump.
func countersIn(s setID, body []byte) []BackendCounter {
	list, err := netlink.UnmarshalAttributes(attributes(body)[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
	if err != nil {
		return nil
	}
	var out []BackendCounter
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
			out = append(out, BackendCounter{
				Frontend: e.key, Backend: e.data, Owner: e.comment, Connections: binary.BigEndian.Uint64(packets),
				Local: s.kind == kLocals || s.kind == kNodeLocals,
			})
		}
	}
	return out
}
