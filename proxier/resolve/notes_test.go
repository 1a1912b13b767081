// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"testing"

	"fairlead/proxier/proxiertest"
)

// TestRemarks changes one Service step by step, and looks at what is counted.
func TestRemarks(t *testing.T) {
	svc := proxiertest.WebService()
	svc.InternalLocal, svc.ExternalLocal = true, true
	self := &Self{Name: "node-a", Zone: "z1", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	r := NewNotes()
	for _, step := range []struct {
		name   string
		change func()
		eps    string
		want   string
	}{
		{name: "none anywhere", want: "internal 0 external 0 map[] []"},
		{name: "none here", eps: "b1", want: "internal 1 external 1 map[] []"},
		{name: "hints for others", eps: "b1/z2", want: "internal 1 external 1 map[{zone no endpoint is hinted for this node or zone}:1] []"},
		{name: "one here, drains", eps: "b1 a1/draining", want: "internal 0 external 0 map[] []"},
		{name: "any node will do, inside", change: func() { svc.InternalLocal = false }, eps: "b1", want: "internal 0 external 1 map[] []"},
		{name: "nor from outside", change: func() { svc.ExternalLocal = false }, eps: "b1", want: "internal 0 external 0 map[] []"},
	} {
		if step.change != nil {
			step.change()
		}
		list := proxiertest.SlicesOf(t, step.eps)
		problems := r.Set(svc.Key, svc, claimsOf(svc, list, self), list, &ClusterFacts{Self: *self})
		got := fmt.Sprintf("internal %d external %d %v %v", r.Internal, r.External, r.Fallbacks, problems)
		if got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	problems := r.Set(svc.Key, nil, nil, nil, &ClusterFacts{Self: *self})
	if len(r.byService)+len(r.users) != 0 || len(problems) != 0 {
		t.Errorf("a Service that is gone left %+v", r.byService)
	}
}
