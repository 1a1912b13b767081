// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
)

func TestShapeNames(t *testing.T) {
	for _, policy := range []nat.TrafficPolicy{nat.Reject, nat.Drop, nat.Internal, nat.External, nat.Local} {
		for i := range 16 {
			s := Shape{policy: policy, Family: inet.IPv6, NodePort: i&1 > 0, guarded: i&2 > 0, sticky: i&4 > 0}
			if policy.Picks() {
				s.class = int8(i)
			}
			if policy == nat.Local {
				s.locals = int8(i) - 1
			}
			if got, ok := parseShape(s.String()); !ok || got != s {
				t.Errorf("parseShape(%q) = %+v, %v, want %+v", s, got, ok, s)
			}
		}
	}
	for _, name := range []string{"", "services", "cluster4", "cluster4-3", "cluster5-", "cluster4-8-1", "local4-8", "external4-131072"} {
		if s, ok := parseShape(name); ok {
			t.Errorf("parseShape(%q) = %+v, want none", name, s)
		}
	}
}
