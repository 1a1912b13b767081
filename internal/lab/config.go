// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"path/filepath"
)

// PodLink says how pods are attached to their node.
type PodLink uint8

const (
	// PTP gives each pod a veth and a host route, as the ptp CNI plugin does.
	PTP PodLink = iota
	// Bridge joins the pods of a node by cni0 with hairpin ports, as the bridge
	// CNI plugin does.
	Bridge
	// CNI leaves pods to the plugins of CNIBinDir and to the conflist that an agent
	// puts into the CNIConfDir of their node. A container runtime does the same.
	CNI
)

// Config describes a cluster. The zero value is a fabric and a client outside.
type Config struct {
	// Nodes is how many nodes New makes; AddNode makes more.
	Nodes int
	// IPv6 makes everything dual-stack.
	IPv6 bool
	// PodLink is PTP unless set.
	PodLink PodLink
	// With PodLink CNI, CNIDir receives a directory for each node, and CNIBinDir holds
	// the programs. Both are absolute.
	CNIDir, CNIBinDir string
	// NoPodRoutes leaves out the plain routes to the other nodes' pod CIDRs, for
	// tests with an overlay.
	NoPodRoutes bool
	// Subnets gives each node a subnet of its own behind the router, where plain
	// routes to pods cannot work: it needs NoPodRoutes.
	Subnets bool
}

// maxNodes keeps the node number inside one byte of its addresses, below those
// of the fabric.
const maxNodes = 250

func (c Config) validate() error {
	if c.Nodes < 0 || c.Nodes > maxNodes {
		return fmt.Errorf("nodes %d is not in 0..%d", c.Nodes, maxNodes)
	}
	if c.Subnets && !c.NoPodRoutes {
		return errors.New("subnets: pods have no plain routes through the router; NoPodRoutes is not set")
	}
	if c.PodLink > CNI {
		return fmt.Errorf("pod link %d is unknown", c.PodLink)
	}
	if c.PodLink == CNI && (!filepath.IsAbs(c.CNIDir) || !filepath.IsAbs(c.CNIBinDir)) {
		return fmt.Errorf("directories of CNI: %q and %q are not absolute", c.CNIDir, c.CNIBinDir)
	}
	return nil
}
