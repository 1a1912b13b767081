// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"fairlead/internal/firewall"
	"fairlead/internal/netns"
	"fairlead/internal/sysctl"
	"fairlead/internal/worker"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
)

// firewallInterval is the time between two checks of other firewalls. They reload
// their rules at any time, and each check reads all of them.
const firewallInterval = 30 * time.Second

// ownTable is left out of the check.
const ownTable = "inet " + ruleset.TableName

// keepFirewall reports rules of other programs that drop pod traffic, or adds accept
// rules to them if the configuration says so, until ctx is done. It begins when the
// table is ready, so that its cost does not delay Services, and checks again as soon
// as the tunnels are ready.
func (n *Network) keepFirewall(ctx context.Context) error {
	if !worker.Await(ctx, readyInterval, n.table) {
		return nil
	}
	return worker.Repeat(ctx, firewallInterval, n.tunnels.Woken(), func() { n.checkFirewall(ctx) })
}

// checkFirewall checks once, and again after it added rules. A failure, for example of a
// process that may open no more files, is reported until the next check.
func (n *Network) checkFirewall(ctx context.Context) {
	cfg, ok := n.traffic()
	if !ok {
		return // this Node is not known yet
	}
	ns, done, err := here()
	defer done()
	var findings []firewall.Finding
	if err == nil {
		findings, err = readFindings(ns, cfg)
	}
	if err == nil && len(findings) > 0 && n.cfg.OpenFirewall {
		if err = firewall.Apply(ns, cfg, findings); err == nil {
			klog.FromContext(ctx).Info("Added accept rules for pod traffic to other firewalls", "comment", firewall.Comment)
		}
		var again error
		findings, again = readFindings(ns, cfg)
		err = errors.Join(err, again)
	}
	found := texts(err)
	for _, f := range findings {
		found = append(found, f.String())
	}
	n.store.Book().NodeReport(n.proxy.NodeName, "firewall", found)
}

// here returns the descriptor of the network namespace of the calling goroutine, which is
// valid until done, or 0 for that of the process: entering a namespace takes
// CAP_SYS_ADMIN, which the agent's container lacks.
func here() (fd int, done func(), err error) {
	ns, err := netns.Current()
	if err != nil {
		return 0, func() {}, err
	}
	done = func() { _ = ns.Close() }
	if own, err := ns.IsProcess(); err != nil || own {
		return 0, done, err
	}
	return ns.Fd(), done, nil
}

// CheckFirewall returns the rules of other programs that drop pod traffic in the network
// namespace of the process, and changes nothing. It returns false until the Node is known.
func (n *Network) CheckFirewall() ([]firewall.Finding, bool, error) {
	cfg, ok := n.traffic()
	if !ok {
		return nil, false, nil
	}
	findings, err := readFindings(0, cfg)
	return findings, true, err
}

func sortedKeys(keys []types.NamespacedName) []types.NamespacedName {
	return slices.SortedFunc(slices.Values(keys), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
}

func readFindings(ns int, cfg firewall.Config) ([]firewall.Finding, error) {
	rules, err := firewall.Load(ns, ownTable)
	if err != nil {
		return nil, err
	}
	return rules.Check(cfg), nil
}

// traffic describes the pod traffic of this node. It returns false until the Node is
// known.
func (n *Network) traffic() (firewall.Config, bool) {
	self := n.store.Node(n.proxy.NodeName)
	if self == nil || len(self.PodCIDRs) == 0 {
		return firewall.Config{}, false
	}
	cfg := firewall.Config{PodCIDRs: self.PodCIDRs, ClusterCIDRs: n.proxy.ClusterCIDRs, Own: ownTable}
	if r := n.report.Load(); r != nil && len(r.Devices) > 0 {
		cfg.Overlay = r.Devices[0]
	}
	if len(n.proxy.PodInterfaces) > 0 {
		cfg.PodDevice = sample(n.proxy.PodInterfaces[0])
	}
	n.addInput(&cfg, self)
	return cfg, true
}

// addInput describes the packets that others send to this node itself.
func (n *Network) addInput(cfg *firewall.Config, self *objects.Node) {
	cfg.Self = self.Underlay
	if r := n.report.Load(); r != nil && r.Tunnel.Port != 0 {
		cfg.Self = r.Tunnel.Own
		cfg.Ports = append(cfg.Ports, firewall.Port{Proto: unix.IPPROTO_UDP, Number: r.Tunnel.Port, Use: firewall.Tunnel})
	}
	for _, o := range n.store.Nodes() {
		if o.Name != self.Name && len(o.Underlay) > 0 {
			cfg.Peers = append(cfg.Peers, o.Underlay...)
		}
	}
	if uplinks, err := sysctl.Uplinks(cfg.Self); err == nil && len(uplinks) > 0 {
		cfg.Uplink = uplinks[0]
	}
	for _, key := range sortedKeys(n.store.Services()) {
		svc := n.store.Service(key)
		if svc == nil {
			continue
		}
		if svc.HealthCheckNodePort != 0 {
			cfg.Ports = append(cfg.Ports, firewall.Port{Proto: unix.IPPROTO_TCP, Number: svc.HealthCheckNodePort, Use: firewall.HealthCheck})
		}
		for _, p := range svc.Ports {
			if p.NodePort != 0 {
				cfg.Ports = append(cfg.Ports, firewall.Port{Proto: byte(p.Proto), Number: p.NodePort, Use: firewall.NodePort})
			}
		}
	}
}

// sample returns an interface name that matches a pattern.
func sample(pattern string) string {
	if last := len(pattern) - 1; pattern[last] == '*' {
		return pattern[:last] + "0"
	}
	return pattern
}
