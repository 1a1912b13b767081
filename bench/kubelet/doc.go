// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package kubelet installs the chart on real nodes and uses what it installed:
//
//	etcd, kube-apiserver, kube-controller-manager, kube-scheduler
//	        ▲
//	kubelet ─ containerd ─ runc ─ the agent's image, pods      one per node
//
// A node is a network, mount and UTS namespace. Its pods are in a cgroup of their own,
// which is emptied and removed at the end. The tests need real root, because a runtime
// of containers in a user namespace cannot write to cgroups. "make kubelet" builds what
// they start.
package kubelet
