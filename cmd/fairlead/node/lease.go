// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/internal/worker"
)

// leaseInterval is the time between two checks of this Node's annotations. The watch
// must show a written annotation within leaseRetry, otherwise it is written again.
const (
	leaseInterval = time.Second
	leaseRetry    = 10 * time.Second
)

// publishLease keeps the annotations by which nodes with flannel reach this one,
// until ctx is done. It begins when the data path is ready, because flannel sends at
// once. It needs the verb patch on nodes/status, as flannel does.
func (n *Network) publishLease(ctx context.Context, client kubernetes.Interface) error {
	if !worker.Await(ctx, readyInterval, n.podsReady) {
		return nil
	}
	tick := time.NewTicker(leaseInterval)
	defer tick.Stop()
	var written flannel.Lease
	var at time.Time
	for {
		want, missing := n.lease()
		if missing && (want != written || time.Since(at) > leaseRetry) {
			written, at = want, time.Now()
			if err := patchLease(ctx, client, n.proxy.NodeName, &want); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Failed to write flannel's annotations of this Node, so nodes with flannel cannot reach it; retrying", "retryIn", leaseRetry)
			} else if err == nil {
				klog.FromContext(ctx).Info("Wrote flannel's annotations of this Node", "annotations", want.Annotations())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// lease returns the wanted annotations, and whether the Node lacks them.
func (n *Network) lease() (want flannel.Lease, missing bool) {
	self, report := n.store.Node(n.proxy.NodeName), n.report.Load()
	if self == nil || report == nil {
		return want, false
	}
	node, cfg := n.proxy.OverlaySelf(self), n.proxy.Overlay.WithDefaults()
	for _, a := range node.Underlay {
		f, device := inet.IPv4, cfg.Device4
		if a.Is6() {
			f, device = inet.IPv6, cfg.Device6
		}
		if slices.Contains(report.Devices, device) && !want.Public[f].IsValid() {
			want.Public[f], want.VNI[f], want.MACs[f] = a, cfg.VNI, node.VTEP(f)
		}
	}
	if have := self.Flannel; have != nil {
		want.Overwrite = have.Overwrite
		for f := range want.Public {
			want.Public[f] = want.Address(f)
		}
		return want, !covers(have, &want)
	}
	return want, want != flannel.Lease{}
}

// covers reports whether have contains everything in want. It may contain more, for
// an address family that this node's overlay does not use.
func covers(have, want *flannel.Lease) bool {
	for f := range want.Public {
		if want.MACs[f] != [6]byte{} && (have.MACs[f] != want.MACs[f] || have.VNI[f] != want.VNI[f] || have.Public[f] != want.Public[f]) {
			return false
		}
	}
	return true
}

func patchLease(ctx context.Context, client kubernetes.Interface, node string, l *flannel.Lease) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": l.Annotations()}})
	if err != nil {
		return fmt.Errorf("encode annotations of Node: %w", err)
	}
	if _, err := client.CoreV1().Nodes().PatchStatus(ctx, node, patch); err != nil {
		return fmt.Errorf("write flannel's annotations of Node %s: %w", node, err)
	}
	return nil
}
