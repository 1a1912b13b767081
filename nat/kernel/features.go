// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Missing is a feature that the kernel refuses.
type Missing struct {
	ruleset.Feature
	Err error
}

// rehearsal is a table that the kernel never commits. It is dormant, so that no chain of
// it is attached to a hook even for the time of the check.
var rehearsal = nft.Table{Family: unix.NFPROTO_INET, Name: ruleset.TableName + "-check"}

// tableDormant is NFT_TABLE_F_DORMANT.
const tableDormant = 1

// CheckFeatures asks the kernel for each feature, by a transaction that it checks and
// undoes, in a network namespace, nil for that of the process. The kernel loads modules
// for it. CheckFeatures needs CAP_NET_ADMIN, and returns nat.ErrPermission without it.
func CheckFeatures(ctx context.Context, ns *netns.NS, features []ruleset.Feature) ([]Missing, error) {
	socket, err := dial(ns)
	if err != nil {
		return nil, fmt.Errorf("check nftables: %w", err)
	}
	defer func() { _ = socket.Close() }()
	var out []Missing
	for i := range features {
		f := &features[i]
		if err := ctx.Err(); err != nil {
			return out, err
		}
		refused, err := rehearse(socket, f)
		if errors.Is(refused, unix.EPERM) {
			err = refused
		}
		if err != nil {
			return out, fmt.Errorf("check %s: %w", f.Name, classify(err))
		}
		if refused != nil {
			out = append(out, Missing{Feature: *f, Err: refused})
		}
	}
	return out, nil
}

// rehearse returns the first refusal of a feature, and the error if the outcome is not
// known.
func rehearse(socket *nl.Socket, f *ruleset.Feature) (refused, err error) {
	const chain = "check"
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	rehearsal.Add(&m, tableDormant)
	if f.Set != nil {
		rehearsal.AddSet(&m, f.Set, 1)
	} else {
		rehearsal.AddChain(&m, chain, &nft.Hook{
			Type: string(f.Hook.Type), Number: uint32(f.Hook.Number), Priority: int32(f.Hook.Priority), Policy: nft.PolicyAccept,
		})
		if err := rehearsal.AddRule(&m, chain, f.Exprs); err != nil {
			return nil, err
		}
	}
	err = socket.Rehearse(&m, func(_ int, err error) {
		if refused == nil {
			refused = err
		}
	})
	return refused, err
}
