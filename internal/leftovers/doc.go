// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package leftovers removes only the objects that kube-proxy, flannel and fairlead leave
// on a node when they end.
//
//	kernel, files --Look--> State --NewPlan--> Plan --Apply--> removed objects
//	                                  pure      └──String──> for people, before that
//
// # How objects are recognised
//
// All three keep their rules when they end, so that an upgrade drops no packet. Their
// objects are recognised by name. Where another program could use the same name,
// further properties decide:
//
//   - Chains of iptables are listed by name (see names.go), because KUBE- is the
//     prefix of the kubelet, of kube-router and of policy engines, too. Rules are
//     removed from chains of others only if they are the jumps that kube-proxy or
//     flannel make. A chain that another program's rule jumps to stays, with all that
//     it needs, and is reported.
//   - Devices have to be of the kind that the owner makes. A VXLAN device with the
//     alias of fairlead is fairlead's, whatever its name: see --flannel-compat.
//   - A bridge that the CNI configuration of another program names is that program's. It is
//     reported if flannel's files show that flannel ran here, and never removed.
//   - A route that an administrator could have added as well is only reported.
//
// Some objects can be removed only by running a program: tables of legacy iptables,
// and services of IPVS. They are reported with the command to run.
//
// Everything is done over netlink. The functions keep no state, do not log or wait, and
// may be called from any goroutine. A missing object is no error, so Apply may be
// repeated.
package leftovers
