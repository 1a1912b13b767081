// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package agent wires the parts of the node agent together and runs them. No other
// package of the command opens the kernel.
package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/guard"
	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/state"
	"fairlead/conntrack"
	"fairlead/internal/healthcheck"
	"fairlead/internal/httpd"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/overlay/keeper"
	"fairlead/proxier"
	"fairlead/proxier/metrics"
	"fairlead/proxier/resolve"
	"fairlead/proxier/source"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// agent is everything that runs on a node. Sources write to the store, the proxier
// reads the store and writes to the kernel, and each has its own goroutine. All
// goroutines start here, except those of libraries, of proxier.Run, which watches the
// table, and of keeper.Keeper.Run, which watches the links.
type agent struct {
	cfg      *options.Config
	clients  clients
	store    *store.Store
	metrics  *metrics.Metrics
	table    *kernel.Table
	cleaner  *conntrack.Cleaner
	affinity *kernel.AffinityCleaner
	checks   *healthcheck.Server
	network  *node.Network
	proxier  *proxier.Proxier
	health   *health
	reporter *reporter
	pages    *pages

	// Of the port with TLS; nil without one.
	guarded     *guard.Guard
	certificate *guard.Certificate
	fill        atomic.Pointer[conntrack.Fill] // the last one
	forged      atomic.Pointer[state.SourceCheck]

	owner atomic.Pointer[node.Owner]
	owned chan struct{} // closed when this agent is the only one on the node
}

// Run runs the agent until ctx is done, then returns nil. It leaves the data path in
// place.
func Run(ctx context.Context, cfg *options.Config) error {
	log := klog.FromContext(ctx)
	log.Info("Starting", startFacts(cfg)...)
	start := time.Now()
	limitMemory("/sys/fs/cgroup")
	forgetProgram(ctx)
	if p := &cfg.Proxier; p.LocalMode == resolve.LocalClusterCIDR && len(p.ClusterCIDRs) == 0 {
		log.Info("Masquerading no connections to ClusterIPs, because pods cannot be told from other clients without --cluster-cidr")
	}
	a, err := newAgent(ctx, cfg)
	if err != nil {
		return err
	}
	defer a.close()
	group, inner := errgroup.WithContext(withoutUnreachable(ctx))
	a.follow(inner, group)
	a.serve(inner, group)
	group.Go(func() error { return a.own(inner, group, start) })
	err = wait(ctx, inner, group)
	log.Info("Ending, the data path stays in place")
	return err
}

// endTime is how long goroutines may take to end. Code of libraries sleeps in places
// without looking at its context, and must not delay the next agent.
const endTime = 700 * time.Millisecond

// wait waits for the group, and no longer than endTime after its context inner is done.
// It returns nil if ctx is done, else the error of the goroutine that failed.
func wait(ctx, inner context.Context, group *errgroup.Group) error {
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()
	select {
	case err := <-done:
		return err
	case <-inner.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(endTime):
	}
	klog.FromContext(ctx).V(2).Info("Ending before all goroutines did")
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(inner)
}

func newAgent(ctx context.Context, cfg *options.Config) (*agent, error) {
	if err := useClientGates(); err != nil {
		return nil, err
	}
	clients, err := newClients(ctx, cfg)
	if err != nil {
		return nil, err
	}
	name := cfg.Proxier.NodeName
	ctx = withoutUnreachable(ctx)
	events, err := newEvents(ctx, clients.kubernetes, name)
	if err != nil {
		return nil, err
	}
	a := &agent{
		owned: make(chan struct{}),
		cfg:   cfg, clients: clients, store: store.New(), metrics: metrics.NewMetrics(legacyregistry.MustRegister),
		cleaner: conntrack.NewCleaner(conntrack.Config{EndEstablished: cfg.EndEstablished}), affinity: kernel.NewAffinityCleaner(nil),
	}
	if err := a.openTable(ctx); err != nil {
		return nil, err
	}
	var pods node.Overlay // nil without an overlay, and so is peers
	var peers proxier.Overlay
	if cfg.Proxier.Overlay != nil {
		k, err := keeper.New(nil, keeper.Options{Config: *cfg.Proxier.Overlay})
		if err != nil {
			a.close()
			return nil, fmt.Errorf("set up overlay: %w", err)
		}
		pods, peers = k, k
	}
	a.health = &health{node: name, needsNode: clients.objects != nil, api: clients.server, store: a.store, answers: a.metrics, timeout: cfg.SyncTimeout}
	a.checks = healthcheck.New(healthcheck.Options{Healthy: a.health.keepsUp, Report: func(n healthcheck.Name, err error) { proxier.HealthCheck(a.store.Book(), n, err) }})
	history := status.NewHistory()
	a.proxier = proxier.New(cfg.Proxier, a.store, proxier.Deps{
		Table: a.table, Flows: a.cleaner, Clients: a.affinity, Overlay: peers,
		Health: a.checks, Events: events, Metrics: a.metrics, History: history,
	})
	services := lister{store: a.store}
	if cfg.Proxier.BackendCounters {
		counters := a.proxier.Counters(a.table)
		metrics.CountConnections(ctx, legacyregistry.MustRegister, counters)
		services.rates = newRates(counters)
	}
	a.network = node.NewNetwork(cfg.Node, &cfg.Proxier, a.store, a.metrics, pods, a.proxier.Ready)
	a.health.proxier, a.health.ready, a.health.broken = a.proxier, a.network.Ready, a.network.Broken
	a.reporter = &reporter{
		cfg: cfg, since: time.Now(), api: clients.server, store: a.store, history: history, proxier: a.proxier, network: a.network, health: a.health,
		fill: &a.fill, forged: &a.forged,
	}
	a.pages, err = newPages(name, a.reporter.State, services.list)
	if err = errors.Join(err, a.secure(ctx)); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// openTable opens the table, beside which the cleaner of affinity maps works.
func (a *agent) openTable(ctx context.Context) (err error) {
	if a.table, err = kernel.Open(nil); errors.Is(err, nat.ErrPermission) {
		return fmt.Errorf("open table: %w: run as root, or add the capability to the pod", nat.ErrPermission)
	} else if err != nil {
		return fmt.Errorf("open table: %w", err)
	}
	a.affinity.Beside(a.table)
	a.table.OnRefusal(func(err error) {
		klog.FromContext(ctx).Info("Warning: the kernel or the seccomp profile refuses a system call, watching the table at more cost without it", "err", err)
	})
	return nil
}

func (a *agent) close() {
	_ = a.table.Close()
	if owner := a.owner.Load(); owner != nil {
		_ = owner.Close() // last, because the next agent starts to write then
	}
}

// own waits for the agent that this one replaces, then starts what writes to the
// kernel. Meanwhile sources fill the store, so that the first sync follows at once.
func (a *agent) own(ctx context.Context, group *errgroup.Group, start time.Time) error {
	owner, err := node.Own(ctx)
	if ctx.Err() != nil {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for another agent: %w", err)
	}
	a.owner.Store(owner)
	close(a.owned)
	a.work(ctx, group)
	group.Go(func() error { return a.logProgrammed(ctx, start) })
	return nil
}

// follow starts the sources of objects.
func (a *agent) follow(ctx context.Context, group *errgroup.Group) {
	// The store must expect all sources before the first one delivers.
	manifests := a.cfg.Manifests
	if manifests != "" {
		a.store.Expect(source.SourceFiles)
	}
	if a.clients.objects != nil {
		source.ExpectAPI(a.store)
		group.Go(func() error { return a.clients.server.watch(ctx) })
		group.Go(func() error {
			return source.RunAPI(ctx, a.clients.objects, a.cfg.Proxier.NodeName, a.store)
		})
	}
	if manifests != "" {
		group.Go(func() error { return source.RunFiles(ctx, manifests, a.store) })
	}
}

// work starts what writes to the kernel.
func (a *agent) work(ctx context.Context, group *errgroup.Group) {
	log := klog.FromContext(ctx)
	group.Go(func() error { return a.proxier.Run(ctx) })
	group.Go(func() error {
		return a.cleaner.Run(ctx, func(s conntrack.Sweep) {
			a.metrics.Swept(s)
			if s.Err != nil {
				log.Error(s.Err, "Failed to delete stale flows, retrying")
			}
		})
	})
	group.Go(func() error { return conntrack.WatchFill(ctx, nil, a.reportFill(log)) })
	group.Go(func() error {
		return a.affinity.Run(ctx, func(clients int, err error) {
			a.metrics.Forgot(clients)
			if err != nil {
				log.Error(err, "Failed to delete session affinity entries of removed endpoints, retrying")
			}
		})
	})
	group.Go(func() error { return kernel.WatchAffinityMaps(ctx, nil, a.reportAffinity(log)) })
	if len(a.cfg.Proxier.CheckedInterfaces) > 0 {
		group.Go(func() error { return kernel.WatchForgedPackets(ctx, nil, a.reportForged(log)) })
	}
	a.network.Start(ctx, group, a.clients.kubernetes)
	cfg := &a.cfg.Node
	group.Go(func() error { return cfg.Conntrack.ApplyWhen(ctx, a.proxier.Ready, cfg.SysctlDir) })
	if r := node.NewReplacer(cfg, a.health.ready); r != nil {
		group.Go(func() error { return r.Run(ctx) })
	}
}

// reportFill returns a function that publishes how full the table of flows is.
func (a *agent) reportFill(log klog.Logger) func(conntrack.Fill, string, error) {
	return func(f conntrack.Fill, warning string, err error) {
		if err != nil {
			log.Error(err, "Failed to read how full the connection tracking table is")
			return
		}
		a.metrics.Filled(f)
		a.fill.Store(&f)
		var texts []string
		if warning != "" {
			texts = append(texts, warning)
		}
		a.store.Book().NodeReport(a.cfg.Proxier.NodeName, "conntrack", texts)
	}
}

// reportAffinity returns a function that publishes how full the affinity maps are.
func (a *agent) reportAffinity(log klog.Logger) func([]nat.AffinityMap, error) {
	return func(maps []nat.AffinityMap, err error) {
		if err != nil {
			log.Error(err, "Failed to count the clients of session affinity")
			return
		}
		a.metrics.Remembered(maps)
		var texts []string
		for _, m := range maps {
			if m.Clients >= m.Size {
				texts = append(texts, fmt.Sprintf("the session affinity map %s is full with %d clients: new clients are not remembered there", m.Name, m.Clients))
			}
		}
		a.store.Book().NodeReport(a.cfg.Proxier.NodeName, "session affinity", texts)
	}
}

// reportForged returns a function that publishes how many packets the source check
// dropped.
func (a *agent) reportForged(log klog.Logger) func(uint64, error) {
	return func(now uint64, err error) {
		if err != nil {
			log.Error(err, "Failed to count packets with a forged source")
			return
		}
		check := &state.SourceCheck{Interfaces: a.cfg.Proxier.CheckedInterfaces}
		if old := a.forged.Load(); old != nil {
			check.Dropped, check.Last = old.Dropped, old.Last
		}
		if gained := a.metrics.Forged(now); gained > 0 {
			last := time.Now()
			check.Dropped, check.Last = check.Dropped+gained, &last
			log.V(2).Info("Dropped packets of pods with a forged source", "packets", gained)
		}
		a.forged.Store(check)
	}
}

// profileTime is the time for an answer where profiles of up to a minute are served.
const profileTime = 90 * time.Second

// serve starts what answers on ports, and what manages the process itself.
func (a *agent) serve(ctx context.Context, group *errgroup.Group) {
	s := &a.cfg.Serve
	var write time.Duration
	if s.Profiling {
		write = profileTime
	}
	// Each port has its own pool, so a flood of one does not reach the other.
	metrics := httpd.NewServer(httpd.NewPool(), metricsHandler(a.cfg.Effective, s.Profiling, a.pages), write)
	if a.guarded != nil {
		secure := httpd.NewServer(httpd.NewPool(), a.guarded.Handler(metricsHandler(a.cfg.Effective, s.Profiling, a.pages.anyHost())), write)
		secure.Secure(a.certificate.Config())
		group.Go(func() error { return serve(ctx, a.owned, s.Secure.Addr, s.HardFail, secure) })
	}
	health := httpd.NewServer(httpd.NewPool(), a.health.handler(), 0)
	probes := httpd.NewServer(httpd.NewPool(), a.health.handler(), 0)
	group.Go(func() error { return a.checks.Run(ctx) })
	group.Go(func() error { return serve(ctx, a.owned, s.Metrics, s.HardFail, metrics) })
	group.Go(func() error { return serve(ctx, a.owned, s.Health, s.HardFail, health) })
	group.Go(func() error { return serve(ctx, a.owned, s.Probe, s.HardFail, probes) })
	group.Go(func() error { return a.serveSocket(ctx) })
	group.Go(func() error { return saveMemory(ctx, a.proxier.Checked) })
	group.Go(func() error { return watchConfig(ctx, a.cfg.Files) })
}
