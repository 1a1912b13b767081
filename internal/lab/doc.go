// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package lab builds a small cluster out of network namespaces. Each node has its own
// routing, netfilter and conntrack, like a separate machine. A user namespace suffices
// instead of root, and the lab does not use the ip command.
//
//	                 fabric: a router, and a switch with a port per node
//	     ┌──────────────┬───────────────┬──────────────────┐
//	  node-1         node-2          node-3             outside
//	192.168.50.1   192.168.50.2    192.168.50.3       198.51.100.10
//	 fd00:50::1     fd00:50::2      fd00:50::3      2001:db8:100::10
//	     │              │
//	  pods of        pods of
//	10.244.1.0/24  10.244.2.0/24
//	fd00:10:244:1::/64 ...
//
// With Subnets there is no switch, and each node has its own subnet:
// 192.168.N.10 and fd00:50:N::10 behind the router.
//
// Node N has underlay address N, pod CIDRs numbered N and a default route to the
// fabric, so that packets to a ClusterIP have a route before they meet NAT.
// Outside is a client beyond the router.
//
// # Pods on the same node
//
// A pod's packet to a ClusterIP whose backend lives on the same node must come
// back through the node's IP layer, where its reply is translated. With PTP,
// the default, each pod hangs on a veth of its own and everything is routed.
// With Bridge, pods share cni0 as under the bridge CNI plugin: the reply is
// then switched, not routed, and reaches conntrack only because the kernel's
// br_netfilter passes switched packets to the IP hooks
// (net.bridge.bridge-nf-call-iptables, per namespace since 5.3). New reports a
// kernel without it.
//
// Either way a node that dials one of its own pods, or masquerades towards it,
// appears as the gateway of its pod CIDR; all other hosts see its underlay address.
// Pods must be masqueraded to leave the cluster, because the fabric has no routes to
// them.
//
// With CNI the plugins of a container runtime make the pods' links, by the
// conflist that an agent on the node wrote: ADD connects a pod, DEL removes it.
//
// # Talking
//
// Servers answer with their name and the source address they saw. Dial returns the
// answer, or an error that distinguishes refused, timeout, unreachable and reset.
// TCP and UDP are the kernel's. Few kernels are built with SCTP, so the lab sends an
// INIT and an INIT ACK over raw sockets, which suffice for conntrack and NAT.
//
// # Lifetime
//
// Namespaces are held by descriptors of this process, so that nothing survives
// it. Close removes everything sooner. All methods are safe for concurrent use,
// but Close must come last.
package lab
