// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"fairlead/conntrack"
	"fairlead/internal/healthcheck"
	"fairlead/nat/kernel"
	"fairlead/proxier"
)

// agent is everything that runs on a node, put together: sources write to the
// store, the proxier reads it and tells the kernel, each by a goroutine of its
// own. All of them are started here, but those of libraries, of proxier.Run,
// which watches the table, and of keeper.Keeper.Run, which watches the links.
type agent struct {
	flags     *runFlags
	client    kubernetes.Interface // nil without an API server
	store     *proxier.Store
	metrics   *proxier.Metrics
	table     *kernel.Table
	cleaner   *conntrack.Cleaner
	forgetter *kernel.AffinityCleaner
	checks    *healthcheck.Server
	network   *network
	proxier   *proxier.Proxier
	health    *health
	cfg       proxier.Config
}

func newAgent(ctx context.Context, f *runFlags, cfg proxier.Config) (*agent, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	events, err := newEvents(ctx, client, cfg.NodeName)
	if err != nil {
		return nil, err
	}
	a := &agent{
		flags: f, client: client, cfg: cfg, store: proxier.NewStore(), metrics: proxier.NewMetrics(legacyregistry.MustRegister),
		cleaner: conntrack.NewCleaner(conntrack.Config{EndEstablished: f.conntrack.endRemoved}), forgetter: kernel.NewAffinityCleaner(nil),
	}
	if a.network, err = newNetwork(&f.network, &a.cfg, a.store, a.metrics); err != nil {
		return nil, err
	}
	a.network.sysctlDir = f.conntrack.dir
	if a.table, err = kernel.Open(nil); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	if cfg.BackendCounters {
		proxier.CountConnections(ctx, legacyregistry.MustRegister, a.table)
	}
	a.health = &health{node: cfg.NodeName, needsNode: client != nil, store: a.store, answers: a.metrics, timeout: 2 * f.syncPeriod}
	a.checks = healthcheck.New(healthcheck.Options{Healthy: a.health.keepsUp, Report: a.store.HealthCheck})
	a.proxier = proxier.New(cfg, a.store, proxier.Deps{
		Table: a.table, Flows: a.cleaner, Clients: a.forgetter, Overlay: a.network.deps(),
		Health: a.checks, Events: events, Metrics: a.metrics,
	})
	a.health.proxier = a.proxier
	a.health.ready = func() bool { return a.network.up(a.proxier.Ready) }
	return a, nil
}

func (a *agent) close() { _ = a.table.Close() }

// follow starts the sources of objects.
func (a *agent) follow(ctx context.Context, group *errgroup.Group) {
	// All are expected before the first delivers.
	manifests := a.flags.manifests
	if manifests != "" {
		a.store.Expect(proxier.SourceFiles)
	}
	if a.client != nil {
		proxier.ExpectAPI(a.store)
		group.Go(func() error { return proxier.RunAPI(ctx, a.client, a.cfg.NodeName, a.store) })
	}
	if manifests != "" {
		group.Go(func() error { return proxier.RunFiles(ctx, manifests, a.store) })
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
		return a.forgetter.Run(ctx, func(clients int, err error) {
			a.metrics.Forgot(clients)
			if err != nil {
				log.Error(err, "Sticky clients of endpoints that are gone are not all forgotten; trying again")
			}
		})
	})
	a.network.start(ctx, group, a.client, a.proxier.Ready)
	group.Go(func() error { return a.flags.conntrack.run(ctx, a.proxier.Ready) })
	if r := a.flags.newReplacer(a.health.ready); r != nil {
		group.Go(func() error { return r.run(ctx) })
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
		var texts []string
		if warning != "" {
			texts = append(texts, warning)
		}
		a.store.NodeReport(a.cfg.NodeName, "conntrack", texts)
	}
}

// serve starts what answers on ports, and what looks after the process itself.
func (a *agent) serve(ctx context.Context, group *errgroup.Group, effective any) {
	f := a.flags
	group.Go(func() error { return a.checks.Run(ctx) })
	group.Go(func() error { return f.serve(ctx, f.metricsAddr, metricsHandler(effective, f.profiling)) })
	group.Go(func() error { return f.serve(ctx, f.healthAddr, a.health.handler()) })
	group.Go(func() error { return saveMemory(ctx, a.proxier.Ready) })
	group.Go(func() error { return watchConfig(ctx, f.files) })
}
