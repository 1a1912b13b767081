// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Tracer follows packets. It has a table of its own, which the kernel deletes when the
// socket of the Tracer is closed, also when its process is killed.
type Tracer struct {
	table   nft.Table
	owner   *nl.Socket
	events  *nl.Socket
	request *nl.Socket
}

// ErrNoOwner means that the kernel cannot tie a table to a process.
var ErrNoOwner = errors.New("the kernel is older than 5.13: it would keep following packets if this program were killed")

// traceName begins the names of tables of Tracers; the process follows.
const traceName = ruleset.TableName + "-trace-"

// OpenTrace begins to follow packets in a network namespace, nil for that of the process.
// The caller has to call Close.
func OpenTrace(ns *netns.NS, t ruleset.Trace) (*Tracer, error) {
	out := &Tracer{table: nft.Table{Family: unix.NFPROTO_INET, Name: traceName + fmt.Sprint(os.Getpid())}}
	var err error
	for socket, groups := range map[**nl.Socket][]uint32{&out.owner: nil, &out.request: nil, &out.events: {unix.NFNLGRP_NFTRACE}} {
		if *socket, err = dial(ns, groups...); err != nil {
			return nil, errors.Join(fmt.Errorf("follow packets: %w", classify(err)), out.Close())
		}
	}
	if err := out.begin(t); err != nil {
		return nil, errors.Join(fmt.Errorf("follow packets: %w", err), out.Close())
	}
	return out, nil
}

func (t *Tracer) begin(trace ruleset.Trace) error {
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	t.table.Add(&m, nft.TableOwned)
	for _, c := range trace.Chains() {
		var hook *nft.Hook
		if h := c.Hook; h != nil {
			hook = &nft.Hook{Type: string(h.Type), Number: uint32(h.Number), Priority: int32(h.Priority), Policy: nft.PolicyAccept}
		}
		t.table.AddChain(&m, c.Name, hook)
		for _, r := range c.Rules {
			if err := t.table.AddRule(&m, c.Name, r.Exprs); err != nil {
				return err
			}
		}
	}
	var refused error
	err := t.owner.Transact(&m, func(i int, err error) {
		if refused == nil && i == 0 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)) {
			refused = ErrNoOwner
		} else if refused == nil {
			refused = classify(err)
		}
	})
	return errors.Join(err, refused)
}

// Close ends the tracing and deletes its table. A call of Run returns.
func (t *Tracer) Close() error {
	var errs []error
	for _, s := range []*nl.Socket{t.owner, t.events, t.request} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// Run passes each step of each packet to step until ctx is done, and returns nil then. A
// step without a table is the first of its packet: the kernel uses an ID again as soon as
// the memory of a packet is free. Run calls lost when the kernel had no room for some
// steps. The goroutine of Run makes both calls, which must not block for long.
func (t *Tracer) Run(ctx context.Context, step func(nft.Trace), lost func()) error {
	begun := false
	err := t.events.Listen(ctx, func(r nl.Reply) {
		if nft.IsTrace(r) {
			s := nft.ReadTrace(r)
			if s.Table == t.table {
				if s.Chain != ruleset.TraceBegin {
					return // the packet is followed already
				}
				s.Table = nft.Table{}
			}
			step(s)
		}
	}, nil, func() {
		if begun {
			lost()
		}
		begun = true
	})
	if err != nil {
		return fmt.Errorf("follow packets: %w", err)
	}
	return nil
}

// Rules returns the rules of the table of fairlead by their handles.
func (t *Tracer) Rules() (map[uint64][]expr.Any, error) {
	var out map[uint64][]expr.Any
	err := settle(func() error {
		out = map[uint64][]expr.Any{}
		var m nl.Messages
		self.Get(&m, unix.NFT_MSG_GETRULE)
		err := t.request.Dump(&m, func(r nl.Reply) {
			if nft.TableOf(r) == self {
				_, exprs := nft.ReadRule(r)
				out[nft.ReadHandle(r)] = nft.ReadExprs(self.Family, exprs)
			}
		})
		if errors.Is(err, unix.ENOENT) {
			return nil // there is no table
		}
		return err
	}, func() uint64 { return digest(slices.Sorted(maps.Keys(out))) })
	if err != nil {
		err = fmt.Errorf("read rules: %w", err)
	}
	return out, err
}
