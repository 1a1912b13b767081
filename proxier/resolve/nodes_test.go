// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/flannel"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestFlannelCompat: flannel's annotations say where peers are, and how both ends
// are called; only if asked to.
func TestFlannelCompat(t *testing.T) {
	mac := func(b byte) overlay.MAC { return overlay.MAC{2, 0, 0, 0, 0, b} }
	lease := &flannel.Lease{MACs: [2][6]byte{mac(4), mac(6)}}
	lease.Public[0], lease.Public[1] = proxiertest.MustAddrs("192.168.50.2")[0], proxiertest.MustAddrs("fd00:50::2")[0]
	n := &objects.Node{Name: "b", Underlay: proxiertest.MustAddrs("192.168.50.2", "192.168.60.2"), Flannel: lease}
	behindNAT := &objects.Node{Name: "c", Underlay: proxiertest.MustAddrs("192.168.50.3"), Flannel: &flannel.Lease{}}
	behindNAT.Flannel.Overwrite[0] = proxiertest.MustAddrs("203.0.113.3")[0]
	plain := &objects.Node{Name: "d", Underlay: proxiertest.MustAddrs("192.168.50.4")}

	vteps := [2]overlay.MAC{mac(4), mac(6)}
	for _, tt := range []struct {
		name       string
		on         bool
		node       *objects.Node
		self, peer overlay.Node
	}{
		{"off", false, n, overlay.Node{Name: "b", Underlay: n.Underlay}, overlay.Node{Name: "b", Underlay: n.Underlay}},
		{"flannel's", true, n, overlay.Node{Name: "b", Underlay: n.Underlay, VTEPs: vteps},
			overlay.Node{Name: "b", Underlay: proxiertest.MustAddrs("192.168.50.2", "fd00:50::2", "192.168.60.2"), VTEPs: vteps}},
		{"behind a NAT", true, behindNAT, overlay.Node{Name: "c", Underlay: behindNAT.Underlay}, // nobody has the other one
			overlay.Node{Name: "c", Underlay: proxiertest.MustAddrs("203.0.113.3", "192.168.50.3")}},
		{"not flannel's", true, plain, overlay.Node{Name: "d", Underlay: plain.Underlay}, overlay.Node{Name: "d", Underlay: plain.Underlay}},
	} {
		cfg := Config{FlannelCompat: tt.on, Overlay: &overlay.Config{}}
		if diff := cmp.Diff(tt.self, cfg.OverlaySelf(tt.node), proxiertest.Values); diff != "" {
			t.Errorf("%s: this node (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.peer, cfg.Peer(tt.node), proxiertest.Values); diff != "" {
			t.Errorf("%s: peer (-want +got):\n%s", tt.name, diff)
		}
		// The guard lets them in.
		if diff := cmp.Diff(slices.SortedFunc(slices.Values(tt.peer.Underlay), netip.Addr.Compare), tableOf(&cfg, tt.node).Take().Came, proxiertest.Values); diff != "" {
			t.Errorf("%s: addresses of nodes (-want +got):\n%s", tt.name, diff)
		}
	}
}
