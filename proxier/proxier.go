// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/internal/worker"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/overlay"
	"fairlead/proxier/metrics"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// Table is the kernel's side of package nat; see kernel.Table for the contract.
type Table interface {
	apply.Table
	Watch(ctx context.Context, poke func(nat.Writer)) error
}

// Flows learns which backends may answer the flows of a frontend, after the commit
// of its rules; see conntrack.Cleaner for the contract.
type Flows interface {
	Set(frontend inet.Addr, serving, existing inet.AddrPorts)
	Delete(frontend inet.Addr)
	SweepAll(leaves func(from, to netip.Addr) bool)
	Loosen()
}

// Clients deletes affinity entries that lead to removed backends, after
// the commit that makes it so; see kernel.AffinityCleaner for the contract.
type Clients interface {
	Remove(pairs []nat.Pair)
	RemoveExcept(keep nat.Remembered)
}

// Overlay takes the nodes of the cluster; see keeper.Keeper for the contract.
type Overlay interface {
	Set(self overlay.Node, peers []overlay.Node)
	Change(came []overlay.Node, gone []string)
}

// Deps is what a Proxier works with.
type Deps struct {
	Table   Table
	Flows   Flows          // nil leaves flows alone
	Clients Clients        // nil leaves sticky clients alone
	Overlay Overlay        // nil leaves routes alone
	Health  Health         // nil answers no load balancer
	Events  *status.Events // nil writes none
	Metrics *metrics.Metrics
	History *status.History // nil keeps none
}

// Proxier keeps the table equal to what the objects in a Store say.
type Proxier struct {
	desired *desired
	store   *store.Store
	book    *status.Book
	table   Table
	apply   *apply.Applier
	flows   Flows
	clients Clients
	overlay Overlay
	health  Health
	events  *status.Events
	metrics *metrics.Metrics
	history *status.History

	drifted worker.Wake // poked when another program changed the table
	// writer is the program that changed it last, until the loop takes it: into by at a load,
	// until the repair after it is reported.
	writer lastWriter
	by     nat.Writer
	fight  fight
	outage outage
	// distrusted is set when the table may have changed since unblock read it.
	distrusted bool
	// changed is what another program may have changed since the last load, a nat.Scope.
	changed atomic.Uint32
	// traffic holds the connections of each frontend at the last reading of counters.
	traffic atomic.Pointer[map[inet.Addr]uint64]
	// mended is set from the first part of a repair until the sync after the last one has had
	// flows searched for that began before.
	mended bool
	// untracked is set when there was no table, until flows have been told.
	untracked bool
	// loaded is set when affinity entries may have been missed or forged since clients were last
	// checked.
	loaded bool
	// searched is when that was, and recheck is ready when the next check is due that waits.
	searched time.Time
	recheck  <-chan time.Time
	// checking is ready when the next part of what the first load left out is to be compared with the
	// kernel.
	checking <-chan time.Time

	syncs   klog.Logger            // of a line for each sync; it is here because V allocates
	refused map[inet.Addr]struct{} // what the kernel would not take

	ready        atomic.Bool
	checked      atomic.Bool
	synced       instant // of the last good sync, none before it
	pendingSince instant // since when a sync is due, none when none is
}

// New returns a Proxier that does nothing until Run.
func New(cfg resolve.Config, store *store.Store, deps Deps) *Proxier {
	deps.Metrics.Follow(store)
	desired, now := newDesired(&cfg, store), time.Now()
	return &Proxier{
		desired: desired, apply: apply.New(deps.Table, desired.state), store: store, book: store.Book(), table: deps.Table, flows: deps.Flows, clients: deps.Clients, overlay: deps.Overlay,
		health: deps.Health, events: deps.Events, metrics: deps.Metrics, history: deps.History,
		drifted: worker.NewWake(),
		refused: map[inet.Addr]struct{}{},
		synced:  newInstant(now), pendingSince: newInstant(now),
	}
}

// Ready reports whether the table was once brought up to date. Safe for
// concurrent use.
func (p *Proxier) Ready() bool { return p.ready.Load() }

// Checked reports whether the proxier is Ready and has compared with the kernel what it had not read
// before, so that its start is over. Safe for concurrent use.
func (p *Proxier) Checked() bool { return p.checked.Load() }

// LastSync returns when a sync last left nothing to do; zero before the first.
// Safe for concurrent use.
func (p *Proxier) LastSync() time.Time { return p.synced.get() }

// Outage returns for how long parts of the table were missing within the last OutageWindow,
// because another program removed them. Safe for concurrent use.
func (p *Proxier) Outage() time.Duration { return p.outage.within(time.Now()) }

// Behind returns for how long a change has waited for the kernel, 0 when none
// does. Safe for concurrent use.
func (p *Proxier) Behind() time.Duration {
	if since := p.pendingSince.get(); !since.IsZero() {
		return time.Since(since)
	}
	return 0
}
