// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// TestTunnelAddrs lets the guard know by which addresses this node sends, and that
// nodes may send from any of their own.
func TestTunnelAddrs(t *testing.T) {
	st := store.New()
	st.Update(func(tx *store.Tx) {
		tx.SetNode(&objects.Node{Name: "node-a", Addresses: proxiertest.MustAddrs("203.0.113.11"), Underlay: proxiertest.MustAddrs("203.0.113.11")})
		tx.SetNode(&objects.Node{Name: "node-b", Addresses: proxiertest.MustAddrs("192.0.2.2", "203.0.113.12"), Underlay: proxiertest.MustAddrs("192.0.2.2")})
	})
	OverlayReport(st, "node-a", &overlay.Report{Tunnel: overlay.Tunnel{Own: proxiertest.MustAddrs("10.0.0.11")}})
	cfg := &resolve.Config{NodeName: "node-a", Overlay: &overlay.Config{}}
	table := resolve.NewNodeTable(cfg)
	for _, n := range st.Nodes() {
		table.Set(n.Name, n)
	}
	table.SetOwn(st.OwnTunnelAddrs())
	set, _ := resolve.SettingsOf(cfg, &resolve.Cluster{Node: table.Self(), Own: st.OwnTunnelAddrs()})
	if diff := cmp.Diff(proxiertest.MustAddrs("203.0.113.11", "10.0.0.11"), set.Tunnels.Addrs, proxiertest.Values); diff != "" {
		t.Errorf("own addresses (-want +got):\n%s", diff)
	}
	got := map[netip.Addr]bool{}
	for _, a := range table.Take().Came {
		got[a] = true
	}
	for _, a := range proxiertest.MustAddrs("203.0.113.11", "10.0.0.11", "192.0.2.2", "203.0.113.12") {
		if !got[a] {
			t.Errorf("%s may not send tunnel packets", a)
		}
	}
}
