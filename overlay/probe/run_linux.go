// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/internal/inet"
)

// Options are what Run needs. The functions are called from the goroutine of Run.
type Options struct {
	Interval time.Duration       // between two packets to a peer, at least
	Own      func() []netip.Addr // this node's VTEP addresses
	Peers    func() []Peer       // peers of a family without an own address are skipped
	Report   func([]Lost)        // gets the lost peers after each round
}

const (
	discard  = 9 // RFC 863; nobody listens on a VTEP address
	patience = 2 * time.Second
	atOnce   = 32 // peers that are waited for
)

// Run probes until ctx is done, then returns nil. It spreads the packets of a round over
// half of the interval.
func Run(ctx context.Context, o Options) error {
	var round Round
	wait := time.NewTimer(o.Interval)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		wait.Reset(o.Interval)
		silent, err := ask(ctx, o.Own(), o.Peers(), o.Interval/2)
		if err != nil {
			return nil //nolint:nilerr // ctx is done
		}
		o.Report(round.End(silent))
	}
}

// ask sends one packet to each peer within a time, and returns the peers that do not
// answer.
func ask(ctx context.Context, own []netip.Addr, peers []Peer, within time.Duration) ([]Peer, error) {
	var from [2]netip.Addr
	for _, a := range own {
		from[inet.FamilyOf(a)] = a
	}
	var mu sync.Mutex
	var silent []Peer
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	pace := time.NewTicker(max(within/time.Duration(len(peers)+1), time.Millisecond))
	defer pace.Stop()
	for _, p := range peers {
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), g.Wait())
		case <-pace.C:
		}
		g.Go(func() error {
			if a := from[inet.FamilyOf(p.Addr)]; a.IsValid() && !answers(ctx, a, p.Addr) {
				mu.Lock()
				silent = append(silent, p)
				mu.Unlock()
			}
			return context.Cause(ctx)
		})
	}
	err := g.Wait() // in a line of its own: Go may read silent before it calls a function in the same one
	return silent, err
}

// answers sends one packet and reports whether the peer says that its port is
// unreachable, or sends anything else. A packet that cannot be sent is no evidence
// against the peer: the overlay reports what is missing here.
func answers(ctx context.Context, own, peer netip.Addr) bool {
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, discard)))
	if err != nil {
		return true
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return true
	}
	if _, err := conn.Write([]byte{0}); err != nil {
		return true
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}
