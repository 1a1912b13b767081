// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// Names of devices. Every host calls its way to the rest of the world eth0.
const (
	uplink     = "eth0"
	switchName = "underlay"
	cniBridge  = "cni0"
)

// Cluster is a fabric with nodes on it and a client outside.
type Cluster struct {
	Config  Config
	Nodes   []*Node // in the order they were made; those that left are not in it
	Outside *Host

	fabric *Host

	mu   sync.Mutex
	last int // number of the newest node

	// plugins is the context of New without its cancellation, because programs remove
	// the pods, and Close comes after the end of everything else.
	plugins context.Context
}

// New builds a cluster. The caller needs CAP_SYS_ADMIN and CAP_NET_ADMIN in its
// user namespace and closes the cluster when done.
func New(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("build lab: %w", err)
	}
	c := &Cluster{Config: cfg, plugins: context.WithoutCancel(ctx)}
	build := []func() error{c.addFabric, c.addOutside}
	for range cfg.Nodes {
		build = append(build, func() error { _, err := c.AddNode(); return err })
	}
	for _, step := range build {
		if err := errors.Join(context.Cause(ctx), step()); err != nil {
			return nil, errors.Join(fmt.Errorf("build lab: %w", err), c.Close())
		}
	}
	return c, nil
}

func (c *Cluster) addFabric() (err error) {
	if c.fabric, err = newHost(c.Config, "fabric", routerSysctls()...); err != nil {
		return err
	}
	if err := c.fabric.bridge(switchName); err != nil {
		return err
	}
	return c.fabric.addAddrs(switchName, c.Config.families(underlayRouter4, underlayRouter6))
}

func (c *Cluster) addOutside() (err error) {
	if c.Outside, err = newHost(c.Config, "outside"); err != nil {
		return err
	}
	if err := veth(c.fabric, "outside", c.Outside, uplink); err != nil {
		return err
	}
	return errors.Join(
		c.fabric.addAddrs("outside", c.Config.families(outsideRouter4, outsideRouter6)),
		c.Outside.connect(c.Config.families(outside4, outside6), c.Config.families(outsideRouter4, outsideRouter6)),
	)
}

// Router returns the host between the nodes and the outside.
func (c *Cluster) Router() *Host { return c.fabric }

// RouteVIPs makes the fabric send packets for dst to node, as a router in front
// of a cluster does for ClusterIPs and load balancer addresses.
func (c *Cluster) RouteVIPs(dst netip.Prefix, node *Node) error {
	port := switchName
	if c.Config.Subnets {
		port = node.Name
	}
	return c.fabric.SetRoute(dst, node.addrLike(dst.Addr()), port)
}

// Close removes the cluster with everything in it.
func (c *Cluster) Close() error {
	c.mu.Lock()
	nodes := slices.Clone(c.Nodes)
	c.mu.Unlock()
	var errs []error
	for _, n := range nodes {
		errs = append(errs, n.Close())
	}
	for _, h := range []*Host{c.Outside, c.fabric} {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

// connect gives eth0 its addresses and the default routes over the gateways.
func (h *Host) connect(addrs, gateways []netip.Prefix) error {
	if err := h.addAddrs(uplink, addrs); err != nil {
		return err
	}
	for _, p := range addrs {
		if p.Addr().Is4() {
			h.Addr4 = p.Addr()
		} else {
			h.Addr6 = p.Addr()
		}
	}
	for _, g := range gateways {
		if err := h.SetRoute(anywhere(g.Addr()), g.Addr(), uplink); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) addAddrs(dev string, addrs []netip.Prefix) error {
	for _, p := range addrs {
		if err := h.AddAddr(dev, p); err != nil {
			return err
		}
	}
	return nil
}

// addrLike returns the host's address of the same family as a.
func (h *Host) addrLike(a netip.Addr) netip.Addr {
	if a.Is4() {
		return h.Addr4
	}
	return h.Addr6
}
