// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package leftovers removes what kube-proxy, flannel and fairlead leave on a node
// when they end, and nothing else.
//
//	kernel, files --Look--> State --NewPlan--> Plan --Apply--> what is gone, by object
//	                                  pure      └──String──> for people, before that
//
// # What belongs to whom
//
// None of the three removes its rules when it ends, so that an upgrade drops no
// packet. Their objects are known by their names, and where a name could be
// somebody else's by more than that:
//
//   - Chains of iptables are listed by name (see names.go), because KUBE- is the
//     prefix of the kubelet, of kube-router and of policy engines, too. Rules are
//     removed from chains of others only if they are the jumps that kube-proxy or
//     flannel make. A chain that anybody else's rule jumps to stays, with all that
//     it needs, and is told.
//   - Devices have to be of the kind that the owner makes. A VXLAN device with the
//     alias of fairlead is fairlead's, whatever its name: see --flannel-compat.
//   - A route that an administrator could have added as well is told, not removed.
//
// What cannot be removed without running a program is told, with the line to
// type: tables of legacy iptables, and services of IPVS.
//
// Everything is done over netlink. Nothing here keeps state, logs or waits;
// functions may be called from any goroutine. Objects that are gone already are
// no error, so Apply may be repeated.
package leftovers
