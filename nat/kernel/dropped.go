// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/worker"
	"fairlead/nat/ruleset"
)

// ForgedPackets returns how many packets the rules of the source check have dropped since
// they were written, in the network namespace ns, nil for that of the process. It is 0
// without these rules. It reads one chain.
func ForgedPackets(ns *netns.NS) (packets uint64, err error) {
	r := newReaders(ns)
	defer r.close()
	return forgedPackets(r)
}

func forgedPackets(r *readers) (packets uint64, err error) {
	err = r.read(func(socket *nl.Socket) error {
		packets, err = countForged(socket)
		return err
	})
	return packets, err
}

func countForged(socket *nl.Socket) (packets uint64, err error) {
	err = nl.Repeat("chain "+ruleset.SourceCheck, func() error {
		packets = 0
		var m nl.Messages
		self.Get(&m, unix.NFT_MSG_GETRULE)
		m.String(unix.NFTA_RULE_CHAIN, ruleset.SourceCheck)
		return socket.Dump(&m, func(r nl.Reply) {
			chain, exprs := nft.ReadRule(r)
			if nft.TableOf(r) != self || chain != ruleset.SourceCheck { // an old kernel may list more
				return
			}
			for _, e := range nft.ReadExprs(self.Family, exprs) {
				if c, ok := e.(*expr.Counter); ok {
					packets += c.Packets
				}
			}
		})
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, nil // there is no table
	}
	if err != nil {
		return 0, fmt.Errorf("count packets with a forged source: %w", classify(err))
	}
	return packets, nil
}

// forgedInterval is the time between two readings of the counters.
const forgedInterval = 10 * time.Second

// WatchForgedPackets calls report with what ForgedPackets returns, every 10 s until ctx is
// done. Then it returns nil.
func WatchForgedPackets(ctx context.Context, ns *netns.NS, report func(packets uint64, err error)) error {
	r := newReaders(ns)
	defer r.close()
	return worker.Repeat(ctx, forgedInterval, nil, func() { report(forgedPackets(r)) })
}
