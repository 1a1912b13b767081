// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/sysctl"
)

// sysctlInterval is the time between two checks of kernel settings that nothing asked
// for. The kernel tells of most changes. sysctlRest is the least time between two checks,
// so that a program that works against the agent does not cost a CPU.
const (
	sysctlInterval = 10 * time.Second
	sysctlRest     = 500 * time.Millisecond
)

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
		case <-time.After(sysctlRest):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.settings.Woken():
		}
	}
}

// watchSysctls wakes keepSysctls when the kernel tells of a change, until ctx is done.
// Without notifications keepSysctls still checks at its interval.
func (n *Network) watchSysctls(ctx context.Context) error {
	if err := sysctl.Watch(ctx, nil, n.settings.Wake); err != nil {
		klog.FromContext(ctx).Error(err, "Failed to watch kernel settings, checking them at an interval", "interval", sysctlInterval)
	}
	return nil
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
	if cfg.Path, err = n.path(); err != nil {
		log.Error(err, "Failed to list the devices that packets of pods pass")
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
	n.store.Book().NodeReport(n.proxy.NodeName, "sysctl", texts)
}

// path returns the devices that packets of pods pass.
func (n *Network) path() ([]string, error) {
	patterns := slices.Clone(n.proxy.PodInterfaces)
	var addrs []netip.Addr
	if r := n.report.Load(); r != nil {
		patterns, addrs = append(patterns, r.Devices...), append(addrs, r.Tunnel.Own...)
	}
	if self := n.store.Node(n.proxy.NodeName); self != nil {
		addrs = append(addrs, self.Addresses...)
	}
	devices, err := sysctl.Devices(patterns)
	uplinks, err2 := sysctl.Uplinks(addrs)
	return append(devices, uplinks...), errors.Join(err, err2)
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
