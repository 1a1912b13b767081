// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package world is a cluster in network namespaces with the real agent on every node:
// nodes, pods, the manifests that describe them, and the agents.
package world
