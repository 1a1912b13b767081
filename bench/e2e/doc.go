// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e holds tests of the built agent against a real control plane: one
// API server, an agent on every node of a lab, under exactly the role that
// deploy/ ships.
//
//	outside: etcd, API server, controllers; one gate per agent
//	   │
//	 fabric ── node-1, node-2, node-3: an agent each, pods with real servers
//
// The test plays kubelet: it makes the pods' namespaces and writes their status.
// Slices and pod CIDRs come from the controllers. Connections run all the time;
// none may fail, whatever happens to API server, watches and tokens.
//
// TestMigration has nodes with the real kube-proxy and the real flannel, which it
// moves to the agent, and one of them back.
//
// "make e2e" builds the binaries that the tests start.
package e2e
