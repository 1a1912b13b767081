// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/overlay/kernel"

	"github.com/google/go-cmp/cmp"
)

// TestChange changes a running node, step after step. After each the kernel
// holds what it would hold had it never been otherwise.
func TestChange(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{Resync: time.Hour})
	self, peers := node(1), nodes(2, 5)
	changed := func(i int, f func(*overlay.Node)) []overlay.Node {
		out := append([]overlay.Node(nil), peers...)
		f(&out[i])
		return out
	}
	for _, tt := range []struct {
		name    string
		do      func()
		mtu     int
		written int // -1: not counted
	}{
		{"first", func() {}, 1430, 4 + 4*6},
		{"nothing", func() {}, 1430, 0},
		{"a peer leaves", func() { peers = peers[:3] }, 1430, 6},
		{"two join", func() { peers = append(peers, node(8), node(9)) }, 1430, 12},
		{"a peer moves", func() { peers = changed(0, func(n *overlay.Node) { n.Underlay = node(70).Underlay }) }, 1430, 2},
		{"a peer has IPv6 only", func() { peers = changed(0, func(n *overlay.Node) { n.Underlay = n.Underlay[1:] }) }, 1430, 5},
		{"a peer has another MAC", func() { peers = changed(0, func(n *overlay.Node) { n.VTEPs[inet.IPv6] = overlay.MAC{2, 9} }) }, 1430, -1},
		{"a peer has other pods", func() { peers = changed(1, func(n *overlay.Node) { n.PodCIDRs = node(71).PodCIDRs }) }, 1430, 6},
		{"a newer peer takes them over", func() { peers = append(peers, node(72)); peers[len(peers)-1].PodCIDRs = node(71).PodCIDRs }, 1430, -1},
		{"this node has other pods", func() { self.PodCIDRs = node(73).PodCIDRs }, 1430, -1},
		{"this node moves", func() {
			h.addr(t, "192.168.50.99/24")
			h.addr(t, "fd00:50::99/64")
			self.Underlay = addrs("192.168.50.99", "fd00:50::99")
		}, 1430, 2},
		{"this node has IPv4 only", func() { self.Underlay = self.Underlay[:1] }, 1450, -1},
		{"and both again", func() { self.Underlay = addrs("192.168.50.99", "fd00:50::99") }, 1430, -1},
		{"larger packets", func() { h.run(t, "ip", "link", "set", uplink, "mtu", "1600") }, 1530, 2},
	} {
		_, before, _, _ := k.last() // the keeper may write as soon as the kernel tells of what is done
		tt.do()
		k.Set(self, peers)
		var r overlay.Report
		eventually(t, tt.name, func() error {
			if r, _, _, _ = k.last(); r.MTU != tt.mtu || r.Version != k.version() {
				return fmt.Errorf("MTU %d, want %d; version %d, want %d", r.MTU, tt.mtu, r.Version, k.version())
			}
			return r.Err
		})
		if _, after, _, _ := k.last(); tt.written >= 0 && after-before != tt.written {
			t.Errorf("%s: wrote %d, want %d", tt.name, after-before, tt.written)
		}
		want, _ := overlay.NewPlan(overlay.Config{}, h.underlay(t), self, peers)
		if diff := cmp.Diff(text(want), h.kernel(t, overlay.Config{})); diff != "" {
			t.Errorf("%s (-want +kernel):\n%s", tt.name, diff)
		}
	}
}

// version is that of what was Set last.
func (k *keeper) version() uint64 {
	k.Keeper.mu.Lock()
	defer k.Keeper.mu.Unlock()
	return k.nodes.version
}

// underlay returns what the kernel says about the host's own network.
func (h *host) underlay(t testing.TB) overlay.Underlay {
	t.Helper()
	s, err := kernel.Dial(h.ns)
	h.must(t, err)
	defer func() { _ = s.Close() }()
	view, err := s.Look(func(l *kernel.Link) bool { return l.Kind == "vxlan" }, [2]netip.Addr{}, netip.Addr{})
	h.must(t, err)
	return view.Net
}

// TestWrongDevice starts on devices that cannot be changed into ours.
func TestWrongDevice(t *testing.T) {
	for name, link := range map[string]string{
		"VNI":        "ip link add fairlead.1 type vxlan id 77 dstport 8472 local 192.168.50.1 nolearning",
		"port":       "ip link add fairlead.1 type vxlan id 1 dstport 4789 local 192.168.50.1 nolearning",
		"lower link": "ip link add fairlead.1 type vxlan id 1 dstport 8472 local 192.168.50.1 nolearning dev eth0",
		"multicast":  "ip link add fairlead.1 type vxlan id 1 dstport 8472 group 239.1.1.1 dev eth0",
		"metadata":   "ip link add fairlead.1 type vxlan external dstport 8472",
		"family":     "ip link add fairlead.1 type vxlan id 1 dstport 8472 local fd00:50::1 nolearning",
		"other name": "ip link add former.1 type vxlan id 1 dstport 8472 local 192.168.50.1 nolearning",
		"fits":       "ip link add fairlead.1 type vxlan id 1 dstport 8472 local 192.168.50.77 learning",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.run(t, strings.Fields(link)...)
			if name == "other name" {
				h.run(t, "ip", "link", "set", "former.1", "alias", overlay.Alias)
			}
			before := h.index(overlay.DefaultDevice4)
			k := start(t, h.ns, Options{})
			k.sync(t, node(1), nodes(2, 4)...)
			if diff := cmp.Diff(text(k.want()), h.kernel(t, overlay.Config{})); diff != "" {
				t.Errorf("kernel (-plan +kernel):\n%s", diff)
			}
			if kept := h.index(overlay.DefaultDevice4) == before; kept != (name == "fits") {
				t.Errorf("the device was kept: %v", kept)
			}
		})
	}
}

// index returns the index of a device, 0 for none.
func (h *host) index(name string) int {
	l, err := h.links.LinkByName(name)
	if err != nil {
		return 0
	}
	return l.Attrs().Index
}
