// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"fairlead/internal/filewatch"
	"fairlead/internal/masqfile"
	"fairlead/internal/sysctl"
	"fairlead/internal/worker"
	"fairlead/overlay"
	"fairlead/overlay/probe"
	"fairlead/proxier"
	"fairlead/proxier/metrics"
	"fairlead/proxier/resolve"
	"fairlead/proxier/source"
	"fairlead/proxier/store"
)

// Overlay is the part of keeper.Keeper that a Network runs.
type Overlay interface {
	Run(ctx context.Context, report func(overlay.Report)) error
}

// Network keeps what pods of this node need beside Services.
type Network struct {
	cfg     Config
	proxy   *resolve.Config
	store   *store.Store
	metrics *metrics.Metrics
	overlay Overlay     // nil without an overlay
	table   func() bool // whether the table was brought up to date once

	report   atomic.Pointer[overlay.Report] // the last one
	lost     atomic.Pointer[[]probe.Lost]   // of the last round; nil before the first
	written  atomic.Bool                    // the CNI configuration is in place
	settings *worker.Inbox[struct{}]        // woken when kernel settings may have changed
	devices  *worker.Inbox[struct{}]        // woken when the overlay's devices have changed
	tunnels  *worker.Inbox[struct{}]        // woken when the tunnels have changed that firewalls must let pass
	peers    worker.Wake                    // poked after each pass of the overlay
	broken   atomic.Pointer[time.Time]      // since when a device of the tunnels is missing
	failures complaints                     // of the overlay; its goroutine alone uses them
	// watchEnds are complaints about the watch of the overlay, of the same goroutine.
	watchEnds complaints
}

// NewNetwork returns a Network that does nothing before Start. The overlay is nil
// if proxy has none. The function table reports whether the table was brought up
// to date once.
func NewNetwork(cfg Config, proxy *resolve.Config, store *store.Store, metrics *metrics.Metrics, overlay Overlay, table func() bool) *Network {
	return &Network{
		cfg: cfg, proxy: proxy, store: store, metrics: metrics, overlay: overlay, table: table,
		settings: worker.NewInbox[struct{}](), devices: worker.NewInbox[struct{}](), tunnels: worker.NewInbox[struct{}](),
		peers: worker.NewWake(), failures: complaints{}, watchEnds: complaints{},
	}
}

// Start adds the network's goroutines to the group. They end when ctx is done. The
// client is nil without an API server.
func (n *Network) Start(ctx context.Context, group *errgroup.Group, client kubernetes.Interface) {
	if n.overlay != nil {
		group.Go(func() error { return n.overlay.Run(ctx, func(r overlay.Report) { n.publish(ctx, &r) }) })
	}
	if n.overlay != nil && n.proxy.Overlay.Mode != overlay.None {
		group.Go(func() error { return n.logPeers(ctx) })
	}
	if n.cfg.MasqFile != "" {
		group.Go(func() error { return n.followMasqFile(ctx) })
	}
	if n.cfg.Active || n.proxy.LoopbackNodePorts() {
		group.Go(func() error { return n.keepSysctls(ctx) })
		group.Go(func() error { return n.watchSysctls(ctx) })
	}
	if n.cfg.Active {
		group.Go(func() error { return n.keepFirewall(ctx) })
	}
	if n.overlay != nil && len(n.cfg.KernelChecksums) > 0 {
		group.Go(func() error { return n.keepChecksums(ctx) })
	}
	if n.cfg.SetCondition && n.cfg.Active && client != nil {
		group.Go(func() error { return setAvailable(ctx, client, n.proxy.NodeName, n.podsReady) })
	}
	if n.proxy.FlannelCompat && client != nil {
		group.Go(func() error {
			return n.keepAnnotations(ctx, client, "nodes with flannel cannot reach it", n.leaseAnnotations)
		})
	}
	if n.cfg.ProbePeers > 0 && n.overlay != nil && (n.proxy.Overlay.Mode == overlay.VXLAN || n.proxy.Overlay.Mode == overlay.Direct) {
		group.Go(func() error { return n.probePeers(ctx) })
	}
	if n.cfg.AnnounceUnderlay && n.overlay != nil && client != nil {
		group.Go(func() error {
			return n.keepAnnotations(ctx, client, "other nodes may drop its tunnel packets", n.underlayAnnotation)
		})
	}
	if n.cfg.CNI.ConfDir != "" {
		w := newCNIWriter(&n.cfg.CNI, n.pods)
		w.report = func(err error, rivals []string) {
			n.written.Store(err == nil)
			n.store.Book().NodeReport(n.proxy.NodeName, "CNI", append(texts(err), rivals...))
		}
		group.Go(func() error { return w.run(ctx) })
	}
}

// Describe takes over a report of the overlay without publishing it, so that
// CheckSysctls and CheckFirewall know the tunnels.
func (n *Network) Describe(r *overlay.Report) { n.report.Store(r) }

// publish passes a report of the overlay on to metrics, status and log.
func (n *Network) publish(ctx context.Context, r *overlay.Report) {
	last := n.report.Swap(r)
	n.metrics.Overlay(r)
	if r.Missing == 0 {
		n.broken.Store(nil)
	} else if n.broken.Load() == nil {
		n.broken.Store(new(time.Now()))
	}
	proxier.OverlayReport(n.store, n.proxy.NodeName, r)
	log := klog.FromContext(ctx)
	for _, err := range n.failures.fresh(r.Err) {
		log.Error(err, "Failed to complete the overlay, retrying")
	}
	for _, err := range n.watchEnds.fresh(r.WatchErr) {
		log.Error(err, "Watch of the overlay ended, beginning again", "times", r.WatchEnds)
	}
	if last != nil && last.Err != nil && r.Err == nil {
		log.Info("Completed the overlay after errors")
	}
	if r.Version > 0 {
		n.peers.Set()
	}
	if r.Repaired > 0 {
		log.Info("Repaired the overlay after another program changed it", "changes", r.Repaired)
	}
	if last == nil || !slices.Equal(last.Devices, r.Devices) {
		n.settings.Wake()
		n.devices.Wake()
	}
	if last == nil || last.Ready != r.Ready || !slices.Equal(last.Devices, r.Devices) {
		n.tunnels.Wake()
	}
	if r.Ready && (last == nil || !last.Ready) {
		log.Info("Made the overlay ready", "devices", r.Devices, "mtu", r.MTU)
	}
}

// followMasqFile passes every version of ip-masq-agent's file on to the store.
func (n *Network) followMasqFile(ctx context.Context) error {
	return masqfile.Watch(ctx, n.cfg.MasqFile, func(s masqfile.State) {
		source.MasqFile(n.store, n.cfg.MasqFile, s.Config.NonMasquerade(), s.Err)
	}, func(err error) {
		klog.FromContext(ctx).Error(err, "Failed to watch the file of ip-masq-agent, reading it at an interval: raise fs.inotify.max_user_instances or max_user_watches", "path", n.cfg.MasqFile, "interval", filewatch.Interval)
	})
}

// podNetwork is what a new pod on this node gets.
type podNetwork struct {
	cidrs []netip.Prefix
	mtu   int
}

// pods returns what a new pod gets. It returns false until the first packet of a
// pod would find everything in place.
func (n *Network) pods() (podNetwork, bool) {
	self := n.store.Node(n.proxy.NodeName)
	if !n.table() || self == nil || len(self.PodCIDRs) == 0 {
		return podNetwork{}, false
	}
	out := podNetwork{cidrs: self.PodCIDRs, mtu: n.cfg.MTU}
	if n.overlay == nil || n.proxy.Overlay.Mode == overlay.None {
		return out, true
	}
	r := n.report.Load()
	if r == nil || !r.Ready {
		return podNetwork{}, false
	}
	out.mtu = r.MTU
	return out, true
}

func (n *Network) podsReady() bool {
	_, ok := n.pods()
	return ok
}

// Ready reports whether Services are in place, and the pods' network too if the
// agent provides it.
func (n *Network) Ready() bool {
	if !n.cfg.Active {
		return n.table()
	}
	return n.podsReady()
}

// Broken returns for how long a device of the tunnels has been missing, 0 while all are there.
func (n *Network) Broken() time.Duration {
	since := n.broken.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}

// sysctls returns what the kernel settings depend on.
func (n *Network) sysctls() sysctl.Config {
	if !n.cfg.Active {
		return sysctl.Config{}
	}
	c := sysctl.Config{
		IPv4: true, Bridge: slices.Contains(n.proxy.PodInterfaces, "cni0"),
		Asymmetric: n.proxy.Overlay != nil && n.proxy.Overlay.Mode == overlay.Direct,
	}
	if self := n.store.Node(n.proxy.NodeName); self != nil && len(self.PodCIDRs) > 0 {
		is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
		c.IPv4 = slices.ContainsFunc(self.PodCIDRs, is4)
		c.IPv6 = slices.ContainsFunc(self.PodCIDRs, func(p netip.Prefix) bool { return !is4(p) })
	}
	if r := n.report.Load(); r != nil && len(r.Devices) > 0 {
		c.Overlay = r.Devices[0]
	}
	return c
}
