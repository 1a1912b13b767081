// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"testing"

	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// endpointStep is what the endpoints of svc1 are, nil for no slices, and where a
// pod that dials the ClusterIP and a client outside that dials the VIP get to.
type endpointStep struct {
	name     string
	members  []member
	pod, vip string
}

func (b *bed) endpointSteps(t *testing.T, steps []endpointStep) {
	t.Helper()
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if step.members == nil {
				b.remove(t, sliceObjects(1)...)
			} else {
				b.apply(t, sliceObjects(1, step.members...)...)
			}
			var tries []try
			for family := range ipFamilies {
				tries = append(tries,
					try{b.pod(), b.frontend("ClusterIP", 1, family), step.pod},
					try{b.external(), b.frontend("LB VIP", 1, family), step.vip})
			}
			b.expectAll(t, tries...)
		})
	}
}

// newPairBed is a bed with two endpoints on each node.
func newPairBed(t *testing.T) (b *bed, here2, there2 *lab.Pod) {
	t.Helper()
	b = newBed(t, defaults(), lab.PTP)
	return b, labtest.Pod(t, b.node, "here2", targetPort, everyProto...), labtest.Pod(t, b.other, "there2", targetPort, everyProto...)
}

// TestPacketTerminatingLocal is kube-proxy's
// TestTerminatingEndpointsTrafficPolicyLocal: here and everywhere fall back to
// terminating endpoints independently of each other.
func TestPacketTerminatingLocal(t *testing.T) {
	t.Parallel()
	b, here2, there2 := newPairBed(t)
	b.apply(t, serviceObject(1, externalLocal))
	b.endpointSteps(t, []endpointStep{
		{"ready ones exist", []member{ready(b.here), draining(here2), ready(b.there), draining(there2)}, "here there -", "here -"},
		{"only terminating here", []member{draining(b.here), failing(here2), ready(b.there), draining(there2)}, "there -", "here -"},
		{"terminating everywhere", []member{draining(b.here), draining(here2), draining(b.there), failing(there2)}, "here here2 there -", "here here2 -"},
		{"terminating elsewhere only", []member{failing(b.here), draining(b.there), draining(there2)}, "there there2 -", "timeout"},
		{"ready elsewhere only", []member{starting(b.here), ready(b.there)}, "there -", "timeout"},
		{"nobody serves", []member{failing(b.here), starting(b.there)}, "refused", "refused"},
		{"ready again", []member{ready(b.here)}, "here -", "here -"},
		{"no slices", nil, "refused", "refused"},
	})
}

// TestPacketTerminatingCluster is kube-proxy's
// TestTerminatingEndpointsTrafficPolicyCluster.
func TestPacketTerminatingCluster(t *testing.T) {
	t.Parallel()
	b, here2, there2 := newPairBed(t)
	b.apply(t, serviceObject(1))
	b.endpointSteps(t, []endpointStep{
		{"ready ones exist", []member{ready(b.here), draining(here2), ready(b.there), draining(there2)}, "here there -", "here there m"},
		{"one ready", []member{draining(b.here), draining(here2), ready(b.there)}, "there -", "there m"},
		{"only terminating", []member{draining(b.here), failing(here2), draining(b.there), starting(there2)}, "here there -", "here there m"},
		{"only terminating elsewhere", []member{failing(b.here), draining(b.there)}, "there -", "there m"},
		{"nobody serves", []member{failing(b.here), starting(b.there)}, "refused", "refused"},
		{"no slices", nil, "refused", "refused"},
	})
}

// TestPacketInternalTrafficPolicy is kube-proxy's TestInternalTrafficPolicy.
func TestPacketInternalTrafficPolicy(t *testing.T) {
	t.Parallel()
	b, here2, there2 := newPairBed(t)
	b.apply(t, serviceObject(1, internalLocal))
	b.endpointSteps(t, []endpointStep{
		{"one here", []member{ready(b.here), ready(b.there), ready(there2)}, "here -", "here there there2 m"},
		{"several here", []member{ready(b.here), ready(here2), ready(b.there)}, "here here2 -", "here here2 there m"},
		{"one that terminates here", []member{draining(b.here), ready(b.there)}, "here -", "there m"},
		{"none here", []member{ready(b.there)}, "timeout", "there m"},
		{"no slices", nil, "refused", "refused"},
	})
	b.apply(t, serviceObject(1))
	b.endpointSteps(t, []endpointStep{{"policy Cluster", []member{ready(b.here), ready(b.there)}, "here there -", "here there m"}})
}
