// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/internal/netns"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// Options are what a Keeper is made with.
type Options struct {
	overlay.Config
	// Resync is how often the kernel's state is read although no event says so; a
	// minute by default.
	Resync time.Duration
}

// Keeper keeps the kernel of one network namespace as planned. Set is safe for
// concurrent use and never waits; Run is called once, and all other state is its
// own.
type Keeper struct {
	ns     *netns.NS
	cfg    overlay.Config
	resync time.Duration
	poked  chan struct{}

	mu     sync.Mutex
	input  input
	events []kernel.Event
	lost   bool // events were lost: the kernel has to be read
	net    *overlay.Underlay

	interest atomic.Pointer[kernel.Interest]

	state
}

// input is what Set was told.
type input struct {
	self    overlay.Node
	peers   []overlay.Node
	version uint64 // 0 before the first Set
}

// New returns a Keeper for a network namespace, nil for that of the process. It
// does nothing until Run.
func New(ns *netns.NS, o Options) (*Keeper, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Resync <= 0 {
		o.Resync = time.Minute
	}
	k := &Keeper{ns: ns, cfg: o.Config.WithDefaults(), resync: o.Resync, poked: make(chan struct{}, 1)}
	k.batch = batchSize
	k.interest.Store(&kernel.Interest{Protocol: k.cfg.Protocol, Names: []string{k.cfg.Device4, k.cfg.Device6}})
	return k, nil
}

// Set says which nodes there are. It is to be called when all of them are known,
// and again whenever one changes: what belongs to none is removed. The Keeper
// keeps peers, so the caller must not change it afterwards.
func (k *Keeper) Set(self overlay.Node, peers []overlay.Node) {
	k.mu.Lock()
	k.input = input{self, peers, k.input.version + 1}
	k.mu.Unlock()
	k.poke()
}

// Plan returns what the kernel shall hold for what was Set last, for people to
// look at; it is empty before the first pass. It may be called at any time.
func (k *Keeper) Plan() (overlay.Plan, []overlay.Problem) {
	k.mu.Lock()
	in, net := k.input, k.net
	k.mu.Unlock()
	if in.version == 0 || net == nil {
		return overlay.Plan{}, nil
	}
	return overlay.NewPlan(k.cfg, *net, in.self, in.peers)
}

func (k *Keeper) poke() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

// maxEvents bounds what waits for a pass; reading the kernel is cheaper then.
const maxEvents = 4096

func (k *Keeper) note(events []kernel.Event) {
	k.mu.Lock()
	if len(k.events)+len(events) > maxEvents {
		k.events, k.lost = nil, true
	} else if !k.lost {
		k.events = append(k.events, events...)
	}
	k.mu.Unlock()
	k.poke()
}

func (k *Keeper) loseEvents() {
	k.mu.Lock()
	k.events, k.lost = nil, true
	k.mu.Unlock()
	k.poke()
}

const (
	firstRetry = 100 * time.Millisecond // after a pass that failed, doubled up to
	lastRetry  = 30 * time.Second
	restWatch  = time.Second // before events are subscribed to again
	// restRead is the least time between two looks at the kernel, so that
	// somebody who works against us does not take the whole CPU.
	restRead = 100 * time.Millisecond
)

// Run keeps the kernel as planned until ctx ends, and returns nil then, leaving
// everything in place. report is called after each pass that had something to
// do.
func (k *Keeper) Run(ctx context.Context, report func(overlay.Report)) error {
	s, err := kernel.Dial(k.ns)
	if err != nil {
		return err
	}
	k.sock = s
	defer func() { _ = k.sock.Close() }()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.watch(ctx) })
	g.Go(func() error { k.loop(ctx, report); return nil })
	return g.Wait()
}

// watch subscribes again when it cannot go on; what happened meanwhile is found
// by looking.
func (k *Keeper) watch(ctx context.Context) error {
	for {
		if err := kernel.Watch(ctx, k.ns, k.interest.Load, k.note, k.loseEvents); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restWatch):
		}
	}
}

func (k *Keeper) loop(ctx context.Context, report func(overlay.Report)) {
	tick := time.NewTicker(k.resync)
	defer tick.Stop()
	k.distrust = true // an earlier instance may have left something behind
	wait := firstRetry
	var retry, rested <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.poked:
		case <-rested:
		case <-retry:
			k.distrust = true
		case <-tick.C:
			k.distrust = true
		}
		in := k.take()
		look := k.distrust
		rested = nil
		if rest := restRead - time.Since(k.looked); look && rest > 0 {
			rested, look = time.After(rest), false
		}
		if in.version == 0 || !look && in.version == k.version {
			continue
		}
		r := k.pass(ctx, in, look)
		if ctx.Err() != nil {
			return
		}
		retry, wait = backOff(r.Err, wait)
		report(r)
	}
}

// backOff returns when to try again after err, and how long to wait if that
// fails, too.
func backOff(err error, wait time.Duration) (<-chan time.Time, time.Duration) {
	if err == nil {
		return nil, firstRetry
	}
	return time.After(wait), min(2*wait, lastRetry)
}

// take returns what is wanted, and goes through the events since the last time.
func (k *Keeper) take() input {
	k.mu.Lock()
	events, lost := k.events, k.lost
	k.events, k.lost = nil, false
	in := k.input
	k.mu.Unlock()
	k.distrust = k.distrust || lost || slices.ContainsFunc(events, func(e kernel.Event) bool { return k.surprising(&e) })
	return in
}
