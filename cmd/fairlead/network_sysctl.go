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

// keepSysctls makes the settings that pods need, or reports them, until ctx ends.
// What is said once is not said again before it changes.
func (n *network) keepSysctls(ctx context.Context) error {
	tick := time.NewTicker(sysctlInterval)
	defer tick.Stop()
	said := map[string]bool{}
	for {
		n.applySysctls(ctx, said)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *network) applySysctls(ctx context.Context, said map[string]bool) {
	log := klog.FromContext(ctx)
	cfg := n.sysctls()
	devices, err := sysctl.RouterAdvertised(0)
	if err != nil {
		log.Error(err, "Looking for routers' advertisements")
	}
	cfg.RouterAdvertised = devices
	needed := sysctl.Needed(cfg)
	if !n.flags.setSysctls {
		for i := range needed {
			needed[i].Report = true
		}
	}
	tree := sysctl.Tree{Root: filepath.Dir(n.sysctlDir)}
	set, left := tree.Apply(needed)
	for _, f := range set {
		log.Info("Set a kernel setting", "name", f.Name(), "was", f.Have, "is", f.Want, "why", f.Why)
	}
	now := map[string]bool{}
	for _, f := range left {
		text := f.String()
		now[text] = true
		if !said[text] {
			log.Info("A kernel setting is not as pods need it", "what", text)
		}
	}
	clear(said)
	for text := range now {
		said[text] = true
	}
}
