// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"testing"

	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestLeaves compares addresses with the rules that masquerade what leaves the cluster.
func TestLeaves(t *testing.T) {
	s := NewState()
	if s.Leaves() != nil {
		t.Error("something leaves the cluster without settings")
	}
	set := nat.Settings{
		Cluster: nattest.Prefixes("10.244.0.0/16", "fd00:10:244::/56"),
		Egress:  nat.Egress{Sources: nattest.Prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), Keep: nattest.Prefixes("10.9.0.0/16", "172.16.0.0/12")},
	}
	for _, keep := range []bool{false, true} {
		set.Egress.KeepNodes = keep
		s.Configure(set)
		s.SetNodes([]netip.Addr{netip.MustParseAddr("192.168.0.2")})
		leaves := s.Leaves()
		for _, tt := range []struct {
			from, to string
			want     bool
		}{
			{"10.244.1.2", "192.0.2.1", true},
			{"10.244.1.255", "10.8.255.255", true},
			{"10.244.1.0", "10.9.0.0", false},
			{"10.244.1.2", "10.10.0.0", true},
			{"10.244.1.2", "172.31.255.255", false},
			{"10.244.1.2", "10.244.9.9", false},
			{"10.244.1.2", "224.0.0.1", false},
			{"10.244.1.2", "192.168.0.2", !keep},
			{"10.244.2.2", "192.0.2.1", false},
			{"192.0.2.9", "192.0.2.1", false},
			{"fd00:10:244:1::2", "2001:db8::1", true},
			{"fd00:10:244:1::2", "fd00:10:244:2::1", false},
			{"fd00:10:244:1::2", "ff02::1", false},
		} {
			if got := leaves(netip.MustParseAddr(tt.from), netip.MustParseAddr(tt.to)); got != tt.want {
				t.Errorf("keep nodes %v: %s to %s: %v", keep, tt.from, tt.to, got)
			}
		}
	}
}
