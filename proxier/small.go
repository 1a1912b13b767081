// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import "fairlead/proxier/store"

// mostSmallClaims is how many addresses a small Service has.
const mostSmallClaims = 1 << 5

// isSmall reports whether the work on a Service costs about a step at most, with the claims
// that it had before. Most Services are small, and work without a suspension needs no
// coroutine.
func isSmall(v *store.View, claims int) bool {
	svc := v.Service
	if claims > mostSmallClaims {
		return false
	}
	if svc == nil {
		return true
	}
	// One more address is that of the NodePorts.
	addresses := len(svc.ClusterIPs) + len(svc.ExternalIPs) + len(svc.LoadBalancerIPs) + 1
	elements := 1 + len(svc.SourceRanges) + v.CountEndpoints()
	frontends := len(svc.Ports) * addresses
	return frontends <= mostSmallClaims && frontends*elements <= costOfStep
}
