// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane on a host of package
// lab: etcd, kube-apiserver and those controllers of kube-controller-manager
// that a network agent depends on.
//
//	etcd ◄── kube-apiserver (RBAC, audit log) ◄── kube-controller-manager
//	                 ▲                             endpointslice, node-ipam,
//	              Gate, one per client             serviceaccount, namespace
//	                 ▲
//	               agents
//
// All programs are one binary, bench/cmd/controlplane. Each runs as a process
// that can be stopped and started again; the clients of a Gate can be cut off,
// held up and slowed down without their knowing.
//
// There is no kubelet and no scheduler: tests write Nodes and Pods with their
// status. There is no service controller either, because kube-controller-manager
// has had no cloud provider since 1.31: tests write a Service's load balancer
// addresses as one would.
//
// Keys and certificates are made anew by Start. All methods are safe for
// concurrent use, but starting and stopping the same program is not.
package controlplane
