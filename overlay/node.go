// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"fairlead/internal/inet"
)

// MAC is an Ethernet address; the zero value is none.
type MAC [6]byte

// String returns m in the usual form, 0a:5c:….
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func (m MAC) unicast() bool { return m[0]&1 == 0 && m != MAC{} }

// Node is what peers know of a node of the cluster.
type Node struct {
	Name string
	// Created decides between nodes that claim the same addresses. The newer one gets
	// them, because the older one is most likely a machine that no longer exists.
	Created time.Time
	// PodCIDRs are at most one per family. A node without any waits.
	PodCIDRs []netip.Prefix
	// Underlay holds the addresses by which peers reach the node. The first of
	// each family counts.
	Underlay []netip.Addr
	// VTEPs override the derived MACs of the devices over IPv4 and IPv6, for
	// peers that chose theirs themselves, as flannel does.
	VTEPs [2]MAC
}

// Address returns the underlay address of a family, or one that is not valid.
func (n *Node) Address(f inet.Family) netip.Addr {
	for _, a := range n.Underlay {
		if a = a.Unmap(); a.IsValid() && inet.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// VTEP returns the MAC of the node's device of a family.
func (n *Node) VTEP(f inet.Family) MAC { return n.mac(f) }

// mac returns the MAC of the node's device of a family. It depends on the name alone,
// so every node can compute it, and a node that is created again under its name keeps
// it.
func (n *Node) mac(f inet.Family) MAC {
	if n.VTEPs[f] != (MAC{}) {
		return n.VTEPs[f]
	}
	return deriveMAC(n.Name, f)
}

func deriveMAC(name string, f inet.Family) (m MAC) {
	sum := sha256.Sum256([]byte("fairlead vtep " + f.String() + " " + name))
	copy(m[:], sum[:])
	m[0] = m[0]&^1 | 2 // unicast, locally administered
	return m
}
