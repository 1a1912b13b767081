// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
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
	needed, err := n.neededSysctls()
	if err != nil {
		log.Error(err, "Failed to find all kernel settings that pods need")
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

// CheckSysctls returns the kernel settings that have a wrong value, and changes nothing.
// The error says which settings are not known to matter.
func (n *Network) CheckSysctls() ([]sysctl.Finding, error) {
	needed, err := n.neededSysctls()
	return sysctl.Check(needed, sysctl.Tree{Root: filepath.Dir(n.cfg.SysctlDir)}.Read), err
}

// neededSysctls returns the kernel settings that pods need, and for each that depends on
// something that could not be read, an error.
func (n *Network) neededSysctls() ([]sysctl.Setting, error) {
	cfg := n.sysctls()
	var errs [3]error
	if cfg.RouterAdvertised, errs[0] = sysctl.RouterAdvertised(0); errs[0] != nil {
		errs[0] = fmt.Errorf("check whether a router advertises this node's default route: %w", errs[0])
	}
	if cfg.Localnet, errs[1] = n.localnet(); errs[1] != nil {
		errs[1] = fmt.Errorf("list the devices of pods: %w", errs[1])
	}
	if cfg.Path, errs[2] = n.path(); errs[2] != nil {
		errs[2] = fmt.Errorf("list the devices that packets of pods pass: %w", errs[2])
	}
	needed := sysctl.Needed(cfg)
	for i := range needed {
		needed[i].Report = needed[i].Report || !n.cfg.SetSysctls
	}
	return needed, errors.Join(errs[:]...)
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
