// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/worker"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// AffinityMaps counts the clients of each affinity map that exists, in the network
// namespace ns, nil for that of the process. It costs one pass over all entries, and a
// count may be a few off while the map changes.
func AffinityMaps(ns *netns.NS) ([]nat.AffinityMap, error) {
	r := newReaders(ns)
	defer r.close()
	return affinityMaps(r)
}

func affinityMaps(r *readers) (out []nat.AffinityMap, err error) {
	err = r.read(func(socket *nl.Socket) error {
		out, err = listAffinityMaps(socket)
		return err
	})
	return out, classify(err)
}

func listAffinityMaps(socket *nl.Socket) ([]nat.AffinityMap, error) {
	var err error
	var out []nat.AffinityMap
	ruleset.AllSets(func(s ruleset.Set) {
		if !s.Spec().Learnt {
			return
		}
		for s.Number = 0; s.Number <= ruleset.MaxShares && err == nil; s.Number++ {
			m := nat.AffinityMap{Name: s.String(), Size: int(s.Declaration().Size)}
			failed := eachElement(socket, s, func(*nft.Element) { m.Clients++ })
			switch {
			case errors.Is(failed, unix.ENOENT):
			case failed != nil && !isTorn(failed):
				err = fmt.Errorf("list clients in %s: %w", s, failed)
			default:
				out = append(out, m)
			}
		}
	})
	return out, err
}

// fillInterval is the time between two counts of clients.
const fillInterval = time.Minute

// WatchAffinityMaps calls report with the clients of each affinity map, once a minute
// until ctx is done. Then it returns nil.
func WatchAffinityMaps(ctx context.Context, ns *netns.NS, report func([]nat.AffinityMap, error)) error {
	r := newReaders(ns)
	defer r.close()
	return worker.Repeat(ctx, fillInterval, nil, func() { report(affinityMaps(r)) })
}
