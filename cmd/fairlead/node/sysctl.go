// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/sysctl"
)

// sysctlInterval is the time between two checks of kernel settings. Other programs
// change them, and new devices begin with the defaults.
const sysctlInterval = 10 * time.Second

// keepSysctls sets what pods need, and reports what it must leave to the operator,
// until ctx is done.
func (n *Network) keepSysctls(ctx context.Context) error {
	tick := time.NewTicker(sysctlInterval)
	defer tick.Stop()
	for {
		n.applySysctls(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.devices: // a new device begins with the defaults
		}
	}
}

// applySysctls checks and sets once.
func (n *Network) applySysctls(ctx context.Context) {
	log := klog.FromContext(ctx)
	cfg := n.sysctls()
	var err error
	if cfg.RouterAdvertised, err = sysctl.RouterAdvertised(0); err != nil {
		log.Error(err, "Failed to check whether a router advertises this node's default route")
	}
	if cfg.Localnet, err = n.localnet(); err != nil {
		log.Error(err, "Failed to list the devices of pods")
	}
	needed := sysctl.Needed(cfg)
	for i := range needed {
		needed[i].Report = needed[i].Report || !n.cfg.SetSysctls
	}
	set, left := sysctl.Tree{Root: filepath.Dir(n.cfg.SysctlDir)}.Apply(needed)
	for _, f := range set {
		log.Info("Set kernel setting", "name", f.Name(), "was", f.Have, "is", f.Want, "reason", f.Why)
	}
	texts := make([]string, len(left))
	for i, f := range left {
		texts[i] = f.String()
	}
	n.store.NodeReport(n.proxy.NodeName, "sysctl", texts)
}

// localnet returns the devices by which connections from 127.0.0.1 leave: those of pods
// for host ports, and any device for NodePorts. New devices copy "default".
func (n *Network) localnet() ([]string, error) {
	switch {
	case n.proxy.LoopbackNodePorts():
		return []string{"all"}, nil
	case !n.proxy.Loopback:
		return nil, nil
	}
	pods, err := sysctl.Devices(n.proxy.PodInterfaces)
	return append(pods, "default"), err
}
