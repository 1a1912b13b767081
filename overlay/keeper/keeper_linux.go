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
	"fairlead/internal/worker"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// Options are what a Keeper is made with.
type Options struct {
	overlay.Config
	// Resync is the time between two reads of the kernel's state that no event asked
	// for; one minute by default.
	Resync time.Duration
}

// Keeper keeps the kernel of one network namespace as planned. Set and Plan are safe
// for concurrent use and never wait for the kernel. Call Run once; all other state
// belongs to its goroutine.
type Keeper struct {
	ns     *netns.NS
	cfg    overlay.Config
	resync time.Duration
	inbox  *worker.Inbox[news]
	dial   func(*netns.NS) (*kernel.Conn, error)                                                         // kernel.Dial outside of tests
	events func(context.Context, *netns.NS, func() *kernel.Interest, func([]kernel.Event), func()) error // kernel.Watch outside of tests

	backoff worker.Backoff // after passes that failed

	mu    sync.Mutex
	nodes roster
	net   *overlay.Underlay

	interest atomic.Pointer[kernel.Interest]

	state
}

// news is what happened in the kernel since the last round.
type news struct {
	events []kernel.Event
	load   bool // events were lost, or it is time: the kernel has to be read
	deaf   deaf
}

// deaf says how often the watch of events ended since the last report, and with which error last.
type deaf struct {
	ends int
	err  error
}

// input is what the last Set said, and the calls of Change after it.
type input struct {
	self    overlay.Node
	peers   []overlay.Node // all, unless changed is set
	version uint64         // 0 before the first Set
	// changed says how the peers differ from those of the last pass; nil means that this is
	// not known.
	changed *changed
}

// changed are peers that appeared or changed, and the names of those that are gone.
type changed struct {
	came []overlay.Node
	gone []string
}

// New returns a Keeper for a network namespace; nil is that of the process. The Keeper
// does nothing before Run. The error names each field that is wrong.
func New(ns *netns.NS, o Options) (*Keeper, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Resync <= 0 {
		o.Resync = time.Minute
	}
	k := &Keeper{ns: ns, cfg: o.WithDefaults(), resync: o.Resync, inbox: worker.NewInbox[news](), dial: kernel.Dial, events: kernel.Watch}
	k.batch = batchSize
	k.backoff = worker.Backoff{First: 100 * time.Millisecond, Last: 30 * time.Second}
	k.interest.Store(&kernel.Interest{Protocol: k.cfg.Protocol, Names: []string{k.cfg.Device4, k.cfg.Device6}})
	return k, nil
}

// Set says which nodes there are. Call it when all of them are known, and again
// whenever one changes: the Keeper removes what belongs to no node. The Keeper keeps
// peers, so the caller must not change it afterwards.
func (k *Keeper) Set(self overlay.Node, peers []overlay.Node) {
	k.mu.Lock()
	k.nodes.set(self, peers)
	k.mu.Unlock()
	k.inbox.Wake()
}

// Change says which peers appeared or changed since the last Set or Change, and the names of
// those that are gone. Its cost, and that of the pass after it, do not depend on the number
// of other peers while these are independent of each other. Call Set first.
func (k *Keeper) Change(came []overlay.Node, gone []string) {
	k.mu.Lock()
	news := k.nodes.change(came, gone)
	k.mu.Unlock()
	if news {
		k.inbox.Wake()
	}
}

// Plan returns what the kernel has to hold according to the last Set, for people to
// read. It is empty before the first pass.
func (k *Keeper) Plan() (overlay.Plan, []overlay.Problem) {
	k.mu.Lock()
	in, net := k.nodes.all(), k.net
	k.mu.Unlock()
	if in.version == 0 || net == nil {
		return overlay.Plan{}, nil
	}
	return overlay.NewPlan(k.cfg, *net, in.self, in.peers)
}

// maxEvents bounds the events that wait for a round. Reading the kernel is cheaper
// than more of them.
const maxEvents = 4096

// note adds events for the next round.
func (k *Keeper) note(events []kernel.Event) {
	k.inbox.Add(func(n *news) bool {
		if len(n.events)+len(events) > maxEvents {
			n.events, n.load = nil, true
		} else if !n.load {
			n.events = append(n.events, events...)
		}
		return true
	})
}

// requestLoad makes the next round read the kernel.
func (k *Keeper) requestLoad() {
	k.inbox.Add(func(n *news) bool {
		n.events, n.load = nil, true
		return true
	})
}

const (
	restWatch = time.Second // before the Keeper subscribes to events again
	// restRead is the least time between two reads of the kernel, so that a program
	// that works against the Keeper does not cost a CPU.
	restRead = 100 * time.Millisecond
)

// Run keeps the kernel as planned until ctx is done, then returns nil and leaves
// everything in place. It calls report after each pass.
func (k *Keeper) Run(ctx context.Context, report func(overlay.Report)) error {
	s, err := k.dial(k.ns)
	if err != nil {
		return err
	}
	k.sock = s
	defer func() { _ = k.sock.Close() }()
	k.mustLoad = true // An earlier instance may have left something behind.
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.watch(ctx) })
	g.Go(func() error { return k.tick(ctx) })
	g.Go(func() error {
		return worker.Run(ctx, k.inbox.Woken(), k.backoff, func(ctx context.Context) error { return k.round(ctx, report) })
	})
	return g.Wait()
}

// watch collects events. It subscribes again after an error; the next read finds what
// happened meanwhile. The report of the next pass has the error, and a new error asks for a pass.
func (k *Keeper) watch(ctx context.Context) error {
	said := ""
	for {
		err := k.events(ctx, k.ns, k.interest.Load, k.note, k.requestLoad)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		isNew := err.Error() != said
		said = err.Error()
		k.inbox.Add(func(n *news) bool {
			n.deaf = deaf{n.deaf.ends + 1, err}
			if isNew {
				n.events, n.load = nil, true
			}
			return isNew
		})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restWatch):
		}
	}
}

// tick makes the Keeper read the kernel now and then.
func (k *Keeper) tick(ctx context.Context) error {
	tick := time.NewTicker(k.resync)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			k.requestLoad()
		}
	}
}

// round runs a pass if there is a reason for one. It returns its error, so that the worker
// repeats it, and worker.ErrNotTried where a failed pass still waits for its repetition.
func (k *Keeper) round(ctx context.Context, report func(overlay.Report)) error {
	n := k.inbox.Take()
	if n.deaf.ends > 0 {
		k.deaf = deaf{k.deaf.ends + n.deaf.ends, n.deaf.err}
	}
	k.mu.Lock()
	version := k.nodes.version
	k.mu.Unlock()
	retry := k.failed != nil && version == k.version
	k.mustLoad = k.mustLoad || n.load || retry ||
		slices.ContainsFunc(n.events, func(e kernel.Event) bool { return k.surprising(&e) })
	load := k.mustLoad
	if rest := restRead - time.Since(k.loaded); load && rest > 0 {
		load = false
		time.AfterFunc(rest, k.inbox.Wake)
	}
	if version == 0 || !load && version == k.version {
		if k.failed != nil {
			return worker.ErrNotTried // a wake-up that tries nothing must not lengthen the delay
		}
		return nil
	}
	k.mu.Lock()
	in := k.nodes.take(k.plan != nil && !load)
	k.mu.Unlock()
	r := k.pass(ctx, in, load)
	if ctx.Err() != nil {
		return nil
	}
	k.failed = r.Err
	r.WatchEnds, r.WatchErr, k.deaf = k.deaf.ends, k.deaf.err, deaf{}
	report(r)
	return r.Err
}
