// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package podready

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestIs(t *testing.T) {
	for status, want := range map[corev1.ConditionStatus]bool{"": false, corev1.ConditionTrue: true, corev1.ConditionFalse: false, corev1.ConditionUnknown: false} {
		p := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}}}
		if status != "" {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: status})
		}
		if Is(p) != want {
			t.Errorf("a Pod whose condition Ready is %q: %v", status, !want)
		}
	}
}
