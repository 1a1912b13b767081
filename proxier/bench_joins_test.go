// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"testing"

	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

// BenchmarkJoins has nodes join one by one in a cluster of 1,000 Services, without a kernel.
func BenchmarkJoins(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint("nodes=", n), func(b *testing.B) {
			for b.Loop() {
				st := store.New()
				cfg := testConfig()
				cfg.Overlay, cfg.Masquerade, cfg.KeepNodes = &overlay.Config{Mode: overlay.VXLAN}, true, true
				d := newDesired(&cfg, st)
				st.Update(func(tx *store.Tx) {
					for i := range 1000 {
						svc, slice := benchObjects(i, 10)
						tx.SetService(svc)
						tx.SetSlice(slice)
					}
					self := proxiertest.MustAddrs("172.16.0.1")
					tx.SetNode(&objects.Node{Name: cfg.NodeName, Addresses: self, Underlay: self, PodCIDRs: proxiertest.MustPrefixes("10.244.1.0/24")})
				})
				updateAll(d)
				for step := d.state.Next(0); step != nil; step = d.state.Next(0) {
					d.state.Acked(step)
				}
				for i := range n {
					a := []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}
					st.Update(func(tx *store.Tx) {
						tx.SetNode(&objects.Node{Name: fmt.Sprint("node-", i), Addresses: a, Underlay: a})
					})
					updateAll(d)
					for step := d.state.Next(0); step != nil; step = d.state.Next(0) {
						d.state.Acked(step)
					}
				}
			}
		})
	}
}
