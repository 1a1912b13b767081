// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package podready says whether a Pod is ready, as the EndpointSlice controller reads it.
package podready

import corev1 "k8s.io/api/core/v1"

// Is reports whether the condition Ready of a Pod is True. A Pod without it is not ready.
func Is(p *corev1.Pod) bool {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
