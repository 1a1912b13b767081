// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"slices"
	"testing"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func TestLocalReady(t *testing.T) {
	one, two := []objects.SlicePort{{Name: "a", Port: 1}}, []objects.SlicePort{{Name: "b", Port: 2}}
	six := proxiertest.Endpoints(t, "a1")
	six[0].Addr = netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		list []*objects.Slice
		want int
	}{
		{nil, 0},
		{[]*objects.Slice{{Ports: one, Endpoints: proxiertest.Endpoints(t, "a1 a2 b3")}}, 2},
		{[]*objects.Slice{{Ports: one, Endpoints: proxiertest.Endpoints(t, "a1 a2")}, {Ports: two, Endpoints: proxiertest.Endpoints(t, "a1")}}, 2},
		{[]*objects.Slice{{Ports: one, Endpoints: proxiertest.Endpoints(t, "a1/unready")}, {Ports: two, Endpoints: proxiertest.Endpoints(t, "a1")}}, 1},
		{[]*objects.Slice{{Endpoints: proxiertest.Endpoints(t, "a1")}}, 0}, // reachable at no port
		{[]*objects.Slice{{Ports: one, Endpoints: proxiertest.Endpoints(t, "a1 a2")}, {IPv6: true, Ports: one, Endpoints: six}}, 2},
		{[]*objects.Slice{{IPv6: true, Ports: one, Endpoints: six}}, 1},
	} {
		if got := localReady(tt.list, &Self{Name: "node-a"}); got != tt.want {
			t.Errorf("localReady(%+v) = %d, want %d", tt.list, got, tt.want)
		}
	}
}

func TestHealthAddrs(t *testing.T) {
	nodePorts := proxiertest.MustPrefixes("192.0.2.1/32", "::/0")
	for _, tt := range []struct {
		cfg  []string
		want []netip.Prefix
	}{
		{nil, nodePorts},
		{[]string{"192.0.2.0/24"}, nodePorts},
		{[]string{"192.0.2.0/24", NodePortPrimary}, proxiertest.MustPrefixes("192.0.2.1/32", "::/0", "127.0.0.1/32", "::1/128")},
	} {
		got := HealthAddrs(&Config{NodePortAddresses: tt.cfg}, nodePorts)
		if !slices.Equal(got, tt.want) {
			t.Errorf("healthAddrs(%v) = %v, want %v", tt.cfg, got, tt.want)
		}
	}
}

// TestHealthChecks asks over HTTP, in a namespace, what objects come to.
