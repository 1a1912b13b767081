// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics defines the time series of the proxier. Series whose names begin
// with kubeproxy_ mean the same as those of kube-proxy.
package metrics
