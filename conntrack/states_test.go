// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ti-mo/conntrack"

	"fairlead/internal/inet"
)

// TestOpening makes TCP and SCTP flows in every state. Those that are not
// established can still be led to another endpoint.
func TestOpening(t *testing.T) {
	const seen, assured = conntrack.StatusSeenReply, conntrack.StatusSeenReply | conntrack.StatusAssured
	for _, tt := range []struct {
		name   string
		proto  inet.Proto
		state  uint8
		status conntrack.Status
		want   bool // left
	}{
		{"TCP SYN_SENT", inet.TCP, 1, 0, false},
		{"TCP SYN_RECV", inet.TCP, 2, seen, true},
		{"TCP ESTABLISHED", inet.TCP, 3, assured, true},
		{"TCP FIN_WAIT", inet.TCP, 4, assured, true},
		{"TCP TIME_WAIT", inet.TCP, 7, assured, true},
		{"TCP CLOSE, refused", inet.TCP, 8, seen, false},
		{"TCP SYN_SENT2", inet.TCP, 9, seen, false},
		{"SCTP COOKIE_WAIT", inet.SCTP, 2, 0, false},
		{"SCTP CLOSED, refused", inet.SCTP, 1, seen, false},
		{"SCTP COOKIE_ECHOED", inet.SCTP, 3, seen, true},
		{"SCTP ESTABLISHED", inet.SCTP, 4, assured, true},
	} {
		for _, all := range []bool{false, true} {
			f := newFlows(t)
			f.addState(t, tt.proto, tt.state, tt.status, "10.0.0.1:1", "203.0.113.1:80", "203.0.113.1:80")   // never translated
			f.addState(t, tt.proto, tt.state, tt.status, "10.0.0.1:2", "203.0.113.1:80", "10.244.0.9:80")    // endpoint is gone
			f.addState(t, tt.proto, tt.state, tt.status, "10.0.0.1:3", "203.0.113.1:80", "10.244.0.1:80")    // endpoint serves
			f.addState(t, tt.proto, tt.state, tt.status, "10.0.0.1:4", "203.0.113.1:443", "203.0.113.1:443") // another port
			f.addState(t, tt.proto, tt.state, tt.status, "[fd01::1]:1", "[fd00:113::1]:80", "[fd00:113::1]:80")
			c := NewCleaner(Config{Namespace: f.ns})
			four, six := udp("203.0.113.1:80"), udp("[fd00:113::1]:80")
			four.Proto, six.Proto = tt.proto, tt.proto
			c.Set(four, inet.AddrPortsOf(ap("10.244.0.1:80")), inet.AddrPorts{})
			c.Set(six, inet.AddrPortsOf(ap("[fd00:244::1]:80")), inet.AddrPorts{})
			if all {
				c.SweepAll(nil)
			}
			s := c.sweep(t.Context(), takeAll(c))
			want := []string{"10.0.0.1:3", "10.0.0.1:4"}
			if tt.want {
				want = []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", "[fd01::1]:1"}
			}
			if got := f.list(t); s.Err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, all %v: left %v, want %v; %+v", tt.name, all, got, want, s)
			}
		}
	}
}

// TestEndEstablished ends TCP connections to endpoints that no longer exist, on
// request.
func TestEndEstablished(t *testing.T) {
	for _, end := range []bool{false, true} {
		f := newFlows(t)
		f.add(t, inet.TCP, "10.0.0.1:1", "10.96.0.1:80", "10.244.0.1:80")  // serves
		f.add(t, inet.TCP, "10.0.0.1:2", "10.96.0.1:80", "10.244.0.2:80")  // not ready
		f.add(t, inet.TCP, "10.0.0.1:3", "10.96.0.1:80", "10.244.0.3:80")  // removed
		f.add(t, inet.TCP, "10.0.0.1:4", "10.96.0.1:80", "10.96.0.1:80")   // never translated
		f.add(t, inet.TCP, "10.0.0.1:5", "10.96.0.2:80", "10.244.0.3:80")  // Service removed
		f.add(t, inet.SCTP, "10.0.0.1:6", "10.96.0.1:80", "10.244.0.3:80") // another protocol
		c := NewCleaner(Config{Namespace: f.ns, EndEstablished: end})
		one, two, sctp := udp("10.96.0.1:80"), udp("10.96.0.2:80"), udp("10.96.0.1:80")
		one.Proto, two.Proto, sctp.Proto = inet.TCP, inet.TCP, inet.SCTP
		list := func(s ...string) inet.AddrPorts {
			return inet.PackAddrPorts(len(s), func(i int) netip.AddrPort { return ap(s[i]) })
		}
		c.Set(one, list("10.244.0.1:80"), list("10.244.0.1:80", "10.244.0.2:80", "10.244.0.3:80"))
		c.Set(two, list("10.244.0.3:80"), list("10.244.0.3:80"))
		c.Set(sctp, list("10.244.0.1:80"), list("10.244.0.1:80"))
		if s := c.sweep(t.Context(), takeAll(c)); s.Err != nil || s.Deleted > 0 {
			t.Fatalf("%+v", s)
		}
		c.Set(one, list("10.244.0.1:80"), list("10.244.0.1:80", "10.244.0.2:80"))
		c.Delete(two)
		if s := c.sweep(t.Context(), takeAll(c)); s.Err != nil {
			t.Fatal(s.Err)
		}
		want := []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", "10.0.0.1:5", "10.0.0.1:6"}
		if end {
			want = []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:4", "10.0.0.1:6"}
		}
		if got := f.list(t); !slices.Equal(got, want) {
			t.Errorf("end %v: left %v, want %v", end, got, want)
		}
	}
}
