// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"errors"
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/nat"
)

// TestPacketInvalid is kubernetes/kubernetes#74839: on a connection through a
// Service the backend sends a segment that connection tracking finds invalid.
// Untranslated it reaches the client from an address that it never dialled; the
// client answers with a reset, which the backend believes.
func TestPacketInvalid(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, link)
			labtest.Serve(t, b.other.Host, podPort, inet.TCP)
			labtest.Serve(t, b.Outside, podPort, inet.TCP)
			for _, keep := range []bool{false, true} {
				set := b.settings()
				set.KeepInvalid = keep
				b.configure(t, set)
				for _, backend := range []*lab.Host{b.web.Host, b.there.Host, b.other.Host, b.Outside} {
					for family, ip := range ipFamilies {
						t.Run(map[bool]string{false: "dropped", true: "kept"}[keep]+" "+backend.Name+" "+ip, func(t *testing.T) {
							b.testInvalid(t, backend, family, keep)
						})
					}
				}
			}
		})
	}
}

func (b *bed) testInvalid(t *testing.T, backend *lab.Host, family int, keep bool) {
	t.Helper()
	vip := at([2]netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00:10:96::1")}[family], 80, inet.TCP)
	behind := netip.AddrPortFrom(backend.Addrs()[family], podPort)
	b.serve(t, nat.Internal, vip, behind, backend == b.web.Host)
	client := openSegments(t, b.client.Host, b.client.Addrs()[family])
	server := openSegments(t, backend, behind.Addr())

	c := open(t, b.client.Host, vip)
	defer func() { _ = c.Close() }()
	if want := backend.Name + " saw " + c.Source().Addr().String(); c.Reply.String() != want {
		t.Fatalf("got %q, want %q", c.Reply, want)
	}
	_, err := c.Ask(labtest.Patient(t))
	check(t, err)
	asked := server.wait(t, "the question", func(s segment) bool { return s.from == c.Source() && s.to == behind && s.size > 0 })
	last := asked[len(asked)-1]

	// Far beyond the window; the acknowledgement is what makes the reset fit.
	server.send(t, segment{from: behind, to: c.Source(), seq: last.ack + 1<<30, ack: last.seq + uint32(last.size), flags: flagACK, size: 1})
	if keep {
		client.wait(t, "the invalid segment", func(s segment) bool { return s.from == behind })
		server.wait(t, "the reset", func(s segment) bool { return s.from == c.Source() && s.flags&flagRST != 0 })
		if _, err := c.Ask(labtest.Patient(t)); !errors.Is(err, lab.ErrReset) {
			t.Errorf("after the reset: %v, want %v", err, lab.ErrReset)
		}
		return
	}
	// Another segment takes the same way, so the first would have arrived before.
	mark := netip.AddrPortFrom(behind.Addr(), 9)
	server.send(t, segment{from: mark, to: netip.AddrPortFrom(c.Source().Addr(), 9), flags: flagSYN})
	for _, s := range client.wait(t, "the segment after it", func(s segment) bool { return s.from == mark }) {
		if s.from == behind {
			t.Errorf("the client sees %s", behind)
		}
	}
	if _, err := c.Ask(labtest.Patient(t)); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
	for s, ok := client.take(t); ok; s, ok = client.take(t) {
		if s.from == behind {
			t.Errorf("the client sees %s", behind)
		}
	}
}
