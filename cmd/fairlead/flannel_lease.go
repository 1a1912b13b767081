// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

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
)

// leaseInterval is how often the annotations of this Node are looked at, and
// leaseRetry how long the API server is given to tell of what was written.
const (
	leaseInterval = time.Second
	leaseRetry    = 10 * time.Second
)

// publishLease keeps the annotations by which nodes with flannel reach this one,
// from when the data path is ready: flannel sends at once. Needs the verb patch on
// nodes/status, as flannel does.
func (n *network) publishLease(ctx context.Context, client kubernetes.Interface, ready func() bool) error {
	if !await(ctx, func() bool { _, ok := n.pods(ready); return ok }) {
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
			if err := patchLease(ctx, client, n.cfg.NodeName, &want); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Nodes with flannel do not reach this one; trying again", "retryIn", leaseRetry)
			} else if err == nil {
				klog.FromContext(ctx).Info("Told nodes with flannel how to reach this one", "annotations", want.Annotations())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// lease returns what the annotations should say, and whether they do not.
func (n *network) lease() (want flannel.Lease, missing bool) {
	self, report := n.store.Node(n.cfg.NodeName), n.report.Load()
	if self == nil || report == nil {
		return want, false
	}
	node, cfg := n.cfg.OverlaySelf(self), n.cfg.Overlay.WithDefaults()
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

// covers reports whether have says all that want does. It may say more: of a
// family that this node's overlay does not use.
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
