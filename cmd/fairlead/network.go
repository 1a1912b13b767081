// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"fairlead/internal/masqfile"
	"fairlead/internal/sysctl"
	"fairlead/overlay"
	"fairlead/overlay/keeper"
	"fairlead/proxier"
)

// network is what the agent does for pods, beside Services.
type network struct {
	flags   *networkFlags
	cfg     *proxier.Config
	store   *proxier.Store
	metrics *proxier.Metrics
	keeper  *keeper.Keeper // nil without an overlay

	sysctlDir string // where /proc/sys/net is writable

	report  atomic.Pointer[overlay.Report] // the last one
	devices chan struct{}                  // poked when the overlay has new ones
}

func newNetwork(flags *networkFlags, cfg *proxier.Config, store *proxier.Store, metrics *proxier.Metrics) (*network, error) {
	n := &network{flags: flags, cfg: cfg, store: store, metrics: metrics, devices: make(chan struct{}, 1)}
	if cfg.Overlay == nil {
		return n, nil
	}
	var err error
	if n.keeper, err = keeper.New(nil, keeper.Options{Config: *cfg.Overlay}); err != nil {
		return nil, fmt.Errorf("set up overlay: %w", err)
	}
	return n, nil
}

// deps returns the overlay for the proxier, nil without one.
func (n *network) deps() proxier.Overlay {
	if n.keeper == nil {
		return nil // and not a pointer that is nil
	}
	return n.keeper
}

// start adds the network's goroutines to the group. ready reports whether the
// table was brought up to date.
func (n *network) start(ctx context.Context, group *errgroup.Group, client kubernetes.Interface, ready func() bool) {
	if n.keeper != nil {
		group.Go(func() error { return n.keeper.Run(ctx, func(r overlay.Report) { n.tell(ctx, &r) }) })
	}
	if n.flags.masqFile != "" {
		group.Go(func() error { return n.followMasqFile(ctx) })
	}
	if n.flags.active() {
		group.Go(func() error { return n.keepSysctls(ctx) })
		group.Go(func() error { return n.keepFirewall(ctx, ready) })
	}
	if n.flags.setCondition && n.flags.active() && client != nil {
		there := func() bool { _, ok := n.pods(ready); return ok }
		group.Go(func() error { return sayAvailable(ctx, client, n.cfg.NodeName, there) })
	}
	if n.flags.flannel && client != nil {
		group.Go(func() error { return n.publishLease(ctx, client, ready) })
	}
	if n.flags.cni.confDir != "" {
		w := newCNIWriter(&n.flags.cni, func() (podNetwork, bool) { return n.pods(ready) })
		w.report = func(texts []string) { n.store.NodeReport(n.cfg.NodeName, "CNI", texts) }
		group.Go(func() error { return w.run(ctx) })
	}
}

// tell passes on what the overlay reports.
func (n *network) tell(ctx context.Context, r *overlay.Report) {
	last := n.report.Swap(r)
	n.metrics.Overlay(r)
	n.store.OverlayReport(n.cfg.NodeName, r)
	log := klog.FromContext(ctx)
	if r.Err != nil {
		log.Error(r.Err, "The overlay is not complete; trying again")
	}
	if r.Repaired > 0 {
		log.Info("Somebody had changed the overlay; repaired", "count", r.Repaired)
	}
	if last == nil || !slices.Equal(last.Devices, r.Devices) {
		select {
		case n.devices <- struct{}{}:
		default:
		}
	}
	if r.Ready && (last == nil || !last.Ready) {
		log.Info("The overlay is ready", "devices", r.Devices, "mtu", r.MTU)
	}
}

// followMasqFile has the table follow the file of ip-masq-agent.
func (n *network) followMasqFile(ctx context.Context) error {
	return masqfile.Watch(ctx, n.flags.masqFile, func(s masqfile.State) {
		n.store.MasqFile(n.flags.masqFile, s.Config.NonMasquerade(), s.Err)
	})
}

// podNetwork is what pods of this node are given.
type podNetwork struct {
	cidrs []netip.Prefix
	mtu   int
}

// pods returns it, and false until a pod's first packet would find everything in
// place.
func (n *network) pods(ready func() bool) (podNetwork, bool) {
	self := n.store.Node(n.cfg.NodeName)
	if !ready() || self == nil || len(self.PodCIDRs) == 0 {
		return podNetwork{}, false
	}
	out := podNetwork{cidrs: self.PodCIDRs, mtu: n.flags.mtu}
	if n.keeper == nil || n.cfg.Overlay.Mode == overlay.None {
		return out, true
	}
	r := n.report.Load()
	if r == nil || !r.Ready {
		return podNetwork{}, false
	}
	out.mtu = r.MTU
	return out, true
}

// up reports whether Services and, if it is ours, the pods' network are in place.
func (n *network) up(ready func() bool) bool {
	if !n.flags.active() {
		return ready()
	}
	_, ok := n.pods(ready)
	return ok
}

// sysctls returns what the settings of the kernel depend on.
func (n *network) sysctls() sysctl.Config {
	c := sysctl.Config{
		IPv4: true, Bridge: slices.Contains(n.cfg.PodInterfaces, "cni0"),
		Asymmetric: n.cfg.Overlay != nil && n.cfg.Overlay.Mode == overlay.Direct,
	}
	if self := n.store.Node(n.cfg.NodeName); self != nil && len(self.PodCIDRs) > 0 {
		is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
		c.IPv4 = slices.ContainsFunc(self.PodCIDRs, is4)
		c.IPv6 = slices.ContainsFunc(self.PodCIDRs, func(p netip.Prefix) bool { return !is4(p) })
	}
	if r := n.report.Load(); r != nil && len(r.Devices) > 0 {
		c.Overlay = r.Devices[0]
	}
	return c
}
