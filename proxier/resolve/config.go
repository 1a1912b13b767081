// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"fairlead/nat"
	"fairlead/overlay"
)

// Modes of telling local traffic apart, as in kube-proxy's detectLocalMode.
const (
	LocalClusterCIDR         = "ClusterCIDR"
	LocalNodeCIDR            = "NodeCIDR"
	LocalBridgeInterface     = "BridgeInterface"
	LocalInterfaceNamePrefix = "InterfaceNamePrefix"
)

// NodePortPrimary stands for the node's first address of each family.
const NodePortPrimary = "primary"

// Config is fixed at start. Everything else comes from
// objects and may change.
type Config struct {
	// NodeName names the Node object of this node.
	NodeName string
	// ClusterCIDRs are the ranges of all pods.
	ClusterCIDRs []netip.Prefix
	// NodePortAddresses are CIDRs, or "primary". A family without any stands
	// for all addresses of the node.
	NodePortAddresses []string
	// NodeAddress stands for the node's first address of its family, in place of
	// what the Node object says; the zero value is none.
	NodeAddress netip.Addr
	// MasqueradeMark is a single bit of the packet mark; 0 is the default.
	MasqueradeMark uint32
	// MasqueradeAll masquerades connections of pods to ClusterIPs, too.
	MasqueradeAll bool
	// LocalMode is one of the Local constants; empty is LocalClusterCIDR.
	LocalMode           string
	BridgeInterface     string
	InterfaceNamePrefix string
	// KeepInvalid is nat.Settings.KeepInvalid.
	KeepInvalid bool
	// Masquerade gives what this node's pods send out of the cluster the address
	// of the node, and what they send to other nodes, unless KeepNodes is set.
	Masquerade, KeepNodes bool
	// Overlay carries packets to pods on other nodes; nil leaves that to others.
	Overlay *overlay.Config
	// FlannelCompat has nodes that run flannel, or a fairlead that takes its place,
	// reached as the annotations of their Nodes say.
	FlannelCompat bool
	// PodInterfaces is nat.Tunnels.PodInterfaces.
	PodInterfaces []string
	// Loopback is nat.Settings.Loopback, and CheckedInterfaces is
	// nat.Settings.CheckedInterfaces.
	Loopback          bool
	CheckedInterfaces []string
	// BackendCounters is nat.Settings.BackendCounters.
	BackendCounters bool
	// ExternalIPs are the only external IPs that Services may have; nil allows all,
	// an empty list none.
	ExternalIPs []netip.Prefix
	// ServiceCIDRs are used while there are no ServiceCIDR objects.
	ServiceCIDRs []netip.Prefix
}

// LoopbackNodePorts reports whether NodePorts are served on IPv4 loopback addresses.
func (c *Config) LoopbackNodePorts() bool {
	var set nat.Settings
	for _, s := range c.NodePortAddresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			set.NodePortAddrs = append(set.NodePortAddrs, p)
		}
	}
	return set.LoopbackNodePorts()
}

// Validate returns everything that is wrong with c, by the names of the flags.
func (c *Config) Validate() error {
	var errs []error
	if c.NodeName == "" {
		errs = append(errs, errors.New("--node-name: is empty"))
	}
	if c.MasqueradeMark != 0 && bits.OnesCount32(c.MasqueradeMark) != 1 {
		errs = append(errs, fmt.Errorf("--masquerade-bit: %#x is not a single bit", c.MasqueradeMark))
	}
	for _, s := range c.NodePortAddresses {
		if s == NodePortPrimary {
			continue
		}
		if _, err := netip.ParsePrefix(s); err != nil {
			errs = append(errs, fmt.Errorf("--nodeport-addresses: %q is neither a CIDR nor %q", s, NodePortPrimary))
		}
	}
	if c.Overlay != nil {
		if err := c.Overlay.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("--overlay: %w", err))
		}
	}
	switch c.LocalMode {
	case "", LocalClusterCIDR, LocalNodeCIDR:
	case LocalBridgeInterface:
		errs = append(errs, interfaceName("--pod-bridge-interface", c.BridgeInterface))
	case LocalInterfaceNamePrefix:
		errs = append(errs, interfaceName("--pod-interface-name-prefix", c.InterfaceNamePrefix))
	default:
		errs = append(errs, fmt.Errorf("--detect-local-mode: %q is not one of %s", c.LocalMode,
			[]string{LocalClusterCIDR, LocalNodeCIDR, LocalBridgeInterface, LocalInterfaceNamePrefix}))
	}
	return errors.Join(errs...)
}

// interfaceName checks what the kernel accepts (IFNAMSIZ with its final NUL).
func interfaceName(flag, s string) error {
	if len(s) == 0 || len(s) > 15 || slices.Contains([]byte(s), '/') || slices.Contains([]byte(s), '*') {
		return fmt.Errorf("%s: %q is not an interface name of 1 to 15 characters", flag, s)
	}
	return nil
}
