// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestManyRanges fills a set with scattered ranges, more than one message holds, and
// changes them: all are there, in batches of bounded size.
func TestManyRanges(t *testing.T) {
	table := open(t, nstest.New(t))
	s := plan.NewState()
	set := nattest.Settings()
	for i := range 10000 {
		set.ServiceCIDRs = append(set.ServiceCIDRs, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 0}), 24))
	}
	check := func(what string, want int) {
		t.Helper()
		for b := s.Next(0); b != nil; b = s.Next(0) {
			if len(b.Batch) > 2*ruleset.DefaultLimit {
				t.Errorf("%s: a batch of %d operations", what, len(b.Batch))
			}
			if err := table.Commit(t.Context(), b.Batch); err != nil {
				t.Fatal(err)
			}
			s.Acked(b)
		}
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(found.Ranges[ruleset.Set{Kind: ruleset.ServiceCIDRs, Family: inet.IPv4}]); n != want {
			t.Errorf("%s: %d ranges, want %d", what, n, want)
		}
		if len(s.Adopt(found)) > 0 {
			t.Errorf("%s: the kernel has other ranges", what)
		}
	}
	s.Configure(set)
	check("many", 10001)
	set.ServiceCIDRs = append(nattest.Prefixes("11.0.0.0/9"), set.ServiceCIDRs...)
	s.Configure(set)
	settle(t, s, table)
	set.ServiceCIDRs = set.ServiceCIDRs[1:]
	s.Configure(set)
	settle(t, s, table)
	set.ServiceCIDRs = set.ServiceCIDRs[:5000]
	s.Configure(set)
	check("half", 4999) // and one of IPv6
}
