// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import "net/netip"

// DefaultMasqueradeMark is the packet mark bit that says "masquerade me",
// between the frontend that decides and the chain that does. It is kube-proxy's.
const DefaultMasqueradeMark = 0x4000

// Settings is everything in the table that does not belong to one frontend.
// The zero value serves frontends on VIPs only.
type Settings struct {
	// MasqueradeMark is a single bit; 0 stands for DefaultMasqueradeMark. All
	// other bits of a packet's mark are left alone.
	MasqueradeMark uint32
	// MasqueradeAll masquerades every connection to an Internal frontend.
	MasqueradeAll bool
	// Pods tells the cluster's pods from everybody else.
	Pods Detector
	// NodePortAddrs are the prefixes in which an address of this node must lie
	// to serve NodePorts. The kernel decides which addresses those are, so
	// that addresses may come and go. Loopback is never served.
	NodePortAddrs []netip.Prefix
	// ServiceCIDRs are the ranges of ClusterIPs. Connections to an address in
	// them that no Exclusive frontend has are dropped.
	ServiceCIDRs []netip.Prefix
}

// Detector recognises traffic that comes from the cluster's pods. At most one
// field is used, the first one set. The zero value knows no pods: then nobody
// is told apart, and nothing is masqueraded on its account.
type Detector struct {
	CIDRs           []netip.Prefix // source address; a family without prefix detects nothing
	Interface       string         // exact name of the incoming interface
	InterfacePrefix string         // beginning of its name
}
