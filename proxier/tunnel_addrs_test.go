// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/overlay"
)

// TestTunnelAddrs lets the guard know by which addresses this node sends, and that
// nodes may send from any of their own.
func TestTunnelAddrs(t *testing.T) {
	store := NewStore()
	store.Update(func(tx *Tx) {
		tx.SetNode(&Node{Name: "node-a", Addresses: mustAddrs("203.0.113.11"), Underlay: mustAddrs("203.0.113.11")})
		tx.SetNode(&Node{Name: "node-b", Addresses: mustAddrs("192.0.2.2", "203.0.113.12"), Underlay: mustAddrs("192.0.2.2")})
	})
	OverlayReport(store, "node-a", &overlay.Report{Tunnel: overlay.Tunnel{Own: mustAddrs("10.0.0.11")}})
	cfg := &Config{NodeName: "node-a", Overlay: &overlay.Config{}}
	in := readCluster(store, "node-a")
	set, _ := settingsOf(cfg, &in)
	if diff := cmp.Diff(mustAddrs("203.0.113.11", "10.0.0.11"), set.Tunnels.Addrs, values); diff != "" {
		t.Errorf("own addresses (-want +got):\n%s", diff)
	}
	got := map[netip.Addr]bool{}
	for _, a := range nodeAddrs(cfg, in.nodes, in.own) {
		got[a] = true
	}
	for _, a := range mustAddrs("203.0.113.11", "10.0.0.11", "192.0.2.2", "203.0.113.12") {
		if !got[a] {
			t.Errorf("%s may not send tunnel packets", a)
		}
	}
}
