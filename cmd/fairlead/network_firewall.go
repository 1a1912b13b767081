// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/firewall"
	"fairlead/internal/netns"
	"fairlead/nat/ruleset"
)

// firewallInterval is how often other people's rules are looked at: firewalls
// are reloaded, and it costs a walk through them.
const firewallInterval = 30 * time.Second

// ownTable is not asked whether it drops pod traffic.
const ownTable = "inet " + ruleset.TableName

// keepFirewall reports rules of others that drop pod traffic, or has them let it
// pass if the flag says so, until ctx ends. It begins when the data path is
// ready: what it costs must not delay that.
func (n *network) keepFirewall(ctx context.Context, ready func() bool) error {
	if !await(ctx, ready) {
		return nil
	}
	ns, err := netns.Current()
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	tick := time.NewTicker(firewallInterval)
	defer tick.Stop()
	for {
		n.checkFirewall(ctx, ns.Fd())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *network) checkFirewall(ctx context.Context, ns int) {
	cfg, ok := n.traffic()
	if !ok {
		return // not known yet
	}
	findings, err := lookAtFirewall(ns, cfg)
	if err == nil && len(findings) > 0 && n.flags.openFirewall {
		if err = firewall.Apply(ns, cfg, findings); err == nil {
			klog.FromContext(ctx).Info("Had other firewalls accept what pods send and get", "rules", firewall.Comment)
		}
		var again error
		findings, again = lookAtFirewall(ns, cfg)
		err = errors.Join(err, again)
	}
	found := texts(err)
	for _, f := range findings {
		found = append(found, f.String())
	}
	n.store.NodeReport(n.cfg.NodeName, "firewall", found)
}

func lookAtFirewall(ns int, cfg firewall.Config) ([]firewall.Finding, error) {
	rules, err := firewall.Load(ns, ownTable)
	if err != nil {
		return nil, err
	}
	return rules.Check(cfg), nil
}

// traffic returns what this node's pod traffic looks like.
func (n *network) traffic() (firewall.Config, bool) {
	self := n.store.Node(n.cfg.NodeName)
	if self == nil || len(self.PodCIDRs) == 0 {
		return firewall.Config{}, false
	}
	cfg := firewall.Config{PodCIDRs: self.PodCIDRs, ClusterCIDRs: n.cfg.ClusterCIDRs, Own: ownTable}
	if r := n.report.Load(); r != nil && len(r.Devices) > 0 {
		cfg.Overlay = r.Devices[0]
	}
	if len(n.cfg.PodInterfaces) > 0 {
		cfg.PodDevice = sample(n.cfg.PodInterfaces[0])
	}
	return cfg, true
}

// sample returns a name that fits a pattern of interface names.
func sample(pattern string) string {
	if last := len(pattern) - 1; pattern[last] == '*' {
		return pattern[:last] + "0"
	}
	return pattern
}
