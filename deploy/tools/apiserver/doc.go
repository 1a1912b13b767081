// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package apiserver tests what the chart renders against real API servers: each object
// is applied in a server-side dry run, and the policy about nodes/status is tried with
// the token of an agent's pod. FAIRLEAD_APISERVERS names directories, separated by
// commas, with the programs kube-apiserver and etcd; `make skew` builds three versions.
package apiserver
