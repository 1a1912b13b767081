// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestUnderlayAnnotation: other nodes learn which addresses differ from the status,
// and nothing else. Once none differs they forget what the agent wrote.
func TestUnderlayAnnotation(t *testing.T) {
	for _, tt := range []struct {
		name    string
		uplink  overlay.Uplink
		status  []netip.Addr
		known   []netip.Addr // by the annotation that there is
		written bool         // by the agent
		own     []netip.Addr // by which the overlay sends
		want    string       // "remove" for an annotation that is to go
		missing bool
	}{
		{"the node's addresses", overlay.Uplink{}, addrs("192.0.2.1", "fd00::1"), nil, false, addrs("192.0.2.1", "fd00::1"), "", false},
		{"one of its further addresses", overlay.Uplink{}, addrs("192.0.2.1", "198.51.100.1"), nil, false, addrs("192.0.2.1"), "", false},
		{"behind a NAT", overlay.Uplink{}, addrs("203.0.113.1"), nil, false, addrs("10.0.0.1"), "203.0.113.1,10.0.0.1", true},
		{"behind a NAT, written", overlay.Uplink{}, addrs("203.0.113.1"), addrs("203.0.113.1", "10.0.0.1"), true, addrs("10.0.0.1"), "203.0.113.1,10.0.0.1", false},
		{"behind a NAT, moved", overlay.Uplink{}, addrs("203.0.113.1"), addrs("203.0.113.1", "10.0.0.1"), true, addrs("10.0.0.2"), "203.0.113.1,10.0.0.2", true},
		{"behind a NAT, written by hand", overlay.Uplink{}, addrs("203.0.113.1"), addrs("203.0.113.1", "10.0.0.1"), false, addrs("10.0.0.1"), "203.0.113.1,10.0.0.1", false},
		{"no longer behind a NAT", overlay.Uplink{}, addrs("10.0.0.1"), addrs("203.0.113.1", "10.0.0.1"), true, addrs("10.0.0.1"), "remove", true},
		{"an address in front of a NAT, written by hand", overlay.Uplink{}, addrs("10.0.0.1"), addrs("203.0.113.1", "10.0.0.1"), false, addrs("10.0.0.1"), "", false},
		{"an interface", overlay.Uplink{Interfaces: []string{"eth1"}}, addrs("192.0.2.1", "fd00::1"), nil, false, addrs("10.0.0.1", "fd00::1"), "10.0.0.1,fd00::1", true},
		{"an address in front of a NAT", overlay.Uplink{Addresses: [2]netip.Addr{netip.MustParseAddr("203.0.113.1")}}, addrs("192.0.2.1"), nil, false, addrs("192.0.2.1"), "203.0.113.1,192.0.2.1", true},
	} {
		n := &Network{proxy: &resolve.Config{NodeName: "node-a", Overlay: &overlay.Config{Uplink: tt.uplink}}, store: store.New()}
		n.report.Store(&overlay.Report{Ready: true, Tunnel: overlay.Tunnel{Own: tt.own}})
		n.store.Update(func(tx *store.Tx) {
			tx.SetNode(&objects.Node{Name: "node-a", Addresses: tt.status, Underlay: append(tt.known, tt.status...), UnderlayWritten: tt.written})
		})
		got, missing := n.underlayAnnotation()
		want := map[string]string{objects.AnnotationUnderlay: tt.want, objects.AnnotationUnderlayWritten: tt.want}
		switch tt.want {
		case "":
			want = nil
		case "remove":
			want = map[string]string{objects.AnnotationUnderlay: "", objects.AnnotationUnderlayWritten: ""}
		}
		if diff := cmp.Diff(want, got); diff != "" || missing != tt.missing {
			t.Errorf("%s: missing %v, want %v (-want +got):\n%s", tt.name, missing, tt.missing, diff)
		}
	}
}
