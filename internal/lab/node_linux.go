// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Node is a host that pods run on.
type Node struct {
	*Host
	Number   int            // from 1 on; names, addresses and pod CIDRs follow from it
	PodCIDRs []netip.Prefix // one per family, IPv4 first

	cluster *Cluster

	mu   sync.Mutex
	pods map[string]*Pod
	last int // host part of the newest pod's addresses; 1 is the gateway
}

// AddNode adds node number N+1 to a cluster whose newest node is N, with plain
// routes between it and the others unless the Config says otherwise.
func (c *Cluster) AddNode() (*Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last >= maxNodes {
		return nil, fmt.Errorf("add node: a lab has no more than %d", maxNodes)
	}
	n, err := c.newNode(c.last + 1)
	if err != nil {
		return nil, err
	}
	c.last++
	if !c.Config.NoPodRoutes {
		for _, other := range c.Nodes {
			err = errors.Join(err, n.routePods(other), other.routePods(n))
		}
	}
	c.Nodes = append(c.Nodes, n)
	return n, err
}

func (c *Cluster) newNode(number int) (*Node, error) {
	name := fmt.Sprintf("node-%d", number)
	host, err := newHost(c.Config, name, routerSysctls()...)
	if err != nil {
		return nil, err
	}
	n := &Node{Host: host, Number: number, PodCIDRs: c.Config.families(podCIDRs(number)), cluster: c, pods: map[string]*Pod{}, last: 1}
	if err := n.wire(); err != nil {
		return nil, errors.Join(err, n.Host.Close())
	}
	return n, nil
}

// wire attaches a new node to the fabric and prepares it for pods.
func (n *Node) wire() error {
	cfg, fabric := n.cluster.Config, n.cluster.fabric
	if err := veth(fabric, n.Name, n.Host, uplink); err != nil {
		return err
	}
	routers := cfg.families(cfg.routers(n.Number))
	var err error
	if cfg.Subnets {
		err = fabric.addAddrs(n.Name, routers)
	} else {
		err = fabric.enslave(n.Name, switchName, false)
	}
	if err != nil {
		return err
	}
	if err := n.connect(cfg.families(cfg.nodePrefixes(n.Number)), routers); err != nil {
		return err
	}
	switch cfg.PodLink {
	case Bridge:
		return n.addPodBridge()
	case CNI:
		return n.makeCNIDirs()
	}
	return n.guardPodCIDRs()
}

// guardPodCIDRs rejects packets for removed pods, which would leave by the default route
// otherwise. The sender receives an ICMP error.
func (n *Node) guardPodCIDRs() error {
	for _, cidr := range n.PodCIDRs {
		if err := n.links.RouteAdd(&netlink.Route{Dst: ipNet(cidr), Type: unix.RTN_UNREACHABLE}); err != nil {
			return fmt.Errorf("add unreachable route %s in %s: %w", cidr, n.Name, err)
		}
	}
	return nil
}

func (n *Node) addPodBridge() error {
	if err := n.Sysctl("bridge/bridge-nf-call-iptables", "1"); err != nil {
		return fmt.Errorf("pods on a bridge need br_netfilter: %w", err)
	}
	if n.cluster.Config.IPv6 {
		if err := n.Sysctl("bridge/bridge-nf-call-ip6tables", "1"); err != nil {
			return err
		}
	}
	if err := n.bridge(cniBridge); err != nil {
		return err
	}
	for _, cidr := range n.PodCIDRs {
		if err := n.AddAddr(cniBridge, netip.PrefixFrom(nth(cidr, 1), cidr.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// routePods sends packets for the pods of other over the underlay.
func (n *Node) routePods(other *Node) error {
	for _, cidr := range other.PodCIDRs {
		if err := n.SetRoute(cidr, other.addrLike(cidr.Addr()), uplink); err != nil {
			return err
		}
	}
	return nil
}

// Pods returns the pods of the node that were not closed, by name.
func (n *Node) Pods() []*Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	pods := make([]*Pod, 0, len(n.pods))
	for _, p := range n.pods {
		pods = append(pods, p)
	}
	slices.SortFunc(pods, func(a, b *Pod) int { return a.Addr4.Compare(b.Addr4) })
	return pods
}

// Close takes the node with its pods out of the cluster. Routes to it stay in place, as
// they do when a machine dies.
func (n *Node) Close() error {
	n.cluster.mu.Lock()
	n.cluster.Nodes = slices.DeleteFunc(slices.Clone(n.cluster.Nodes), func(o *Node) bool { return o == n })
	n.cluster.mu.Unlock()
	var errs []error
	for _, p := range n.Pods() {
		errs = append(errs, p.Close())
	}
	return errors.Join(append(errs, n.Host.Close())...)
}
