// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/sysctl"
)

// sysctlInterval is how often the settings of the kernel are looked at: others
// change them, and devices come.
const sysctlInterval = 10 * time.Second

// keepSysctls makes the settings that pods need, and reports those that are left
// to somebody else, until ctx ends.
func (n *network) keepSysctls(ctx context.Context) error {
	tick := time.NewTicker(sysctlInterval)
	defer tick.Stop()
	for {
		n.applySysctls(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.devices: // the overlay's is new
		}
	}
}

func (n *network) applySysctls(ctx context.Context) {
	log := klog.FromContext(ctx)
	cfg := n.sysctls()
	var err error
	if cfg.RouterAdvertised, err = sysctl.RouterAdvertised(0); err != nil {
		log.Error(err, "Looking for routers' advertisements")
	}
	needed := sysctl.Needed(cfg)
	for i := range needed {
		needed[i].Report = needed[i].Report || !n.flags.setSysctls
	}
	set, left := sysctl.Tree{Root: filepath.Dir(n.sysctlDir)}.Apply(needed)
	for _, f := range set {
		log.Info("Set a kernel setting", "name", f.Name(), "was", f.Have, "is", f.Want, "why", f.Why)
	}
	texts := make([]string, len(left))
	for i, f := range left {
		texts[i] = f.String()
	}
	n.store.NodeReport(n.cfg.NodeName, "sysctl", texts)
}
