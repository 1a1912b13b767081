// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestStrangeHints reports zones that no node is in, each once a slice.
func TestStrangeHints(t *testing.T) {
	from := []*objects.Slice{
		{Key: types.NamespacedName{Namespace: "default", Name: "web-1"}, Endpoints: proxiertest.Endpoints(t, "a1/z1 a2/z9 b3/z9/z8 b4")},
		{Key: types.NamespacedName{Namespace: "default", Name: "web-2"}, Endpoints: proxiertest.Endpoints(t, "b5/z9")},
	}
	for _, tt := range []struct {
		zones []string
		want  []string
	}{
		{nil, nil}, // nobody knows
		{[]string{"z1", "z8", "z9"}, nil},
		{[]string{"z1"}, []string{
			`EndpointSlice default/web-1: endpoints.hints.forZones: 10.244.1.2 is hinted for zone "z9", which no Node is in`,
			`EndpointSlice default/web-1: endpoints.hints.forZones: 10.244.2.3 is hinted for zone "z8", which no Node is in`,
			`EndpointSlice default/web-2: endpoints.hints.forZones: 10.244.2.5 is hinted for zone "z9", which no Node is in`,
		}},
	} {
		zones := map[string]int{}
		for _, z := range tt.zones {
			zones[z] = 1
		}
		if diff := cmp.Diff(tt.want, proxiertest.ProblemTexts(strangeHints(from, zones))); diff != "" {
			t.Errorf("zones %v (-want +got):\n%s", tt.zones, diff)
		}
	}
}
