// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/lab"
	"fairlead/nat"
)

// vxlan is the port of the tunnels; control goes the same way and is nobody's.
const (
	vxlan   = 8472
	control = 8473
)

// tunnels is a bed where everybody listens on both ports, on all addresses, as
// the kernel does for a VXLAN device.
type tunnels struct {
	*bed
	set  nat.Settings
	ears map[ear]*datagrams
	sent int
}

type ear struct {
	host   *lab.Host
	family int
	port   uint16
}

func newTunnels(t *testing.T, link lab.PodLink, podInterface string) *tunnels {
	t.Helper()
	b := &tunnels{bed: newBed(t, link), ears: map[ear]*datagrams{}}
	for _, h := range []*lab.Host{b.node.Host, b.other.Host, b.Outside, b.client.Host, b.there.Host} {
		for family := range ipFamilies {
			for _, port := range []uint16{vxlan, control} {
				b.ears[ear{h, family, port}] = listen(t, h, family, port)
			}
		}
	}
	b.set = b.settings()
	b.set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	b.set.Tunnels = nat.Tunnels{Port: vxlan, Addrs: b.node.Addrs(), PodInterfaces: []string{podInterface}}
	b.state.SetNodes(append(b.node.Addrs(), b.other.Addrs()...))
	b.configure(t, b.set)
	return b
}

// probe sends a datagram to the port of the tunnels and another one after it to
// the control port, which must arrive. It returns the source that the first was
// seen with, or "dropped" if it did not arrive before the other.
func (b *tunnels) probe(t *testing.T, from *lab.Host, src, dst netip.Addr, to *lab.Host) string {
	t.Helper()
	family := 0
	if dst.Is6() {
		family = 1
	}
	b.sent++
	text := fmt.Sprintf("%s to %s %d", from.Name, to.Name, b.sent)
	mouth := speak(t, from, src)
	b.ears[ear{to, family, control}].deliver(t, text, func() error { return mouth.sendBoth(dst, text) })
	seen, ok := b.ears[ear{to, family, vxlan}].take(t, text)
	if !ok {
		return "dropped"
	}
	return seen.Addr().String()
}

// sendBoth sends to both ports, the one of the tunnels first.
func (d *datagrams) sendBoth(to netip.Addr, text string) error {
	return errors.Join(d.send(netip.AddrPortFrom(to, vxlan), text), d.send(netip.AddrPortFrom(to, control), text))
}

// expect fails the test unless a datagram is seen with the wanted source.
func (b *tunnels) expect(t *testing.T, from *lab.Host, src, dst netip.Addr, to *lab.Host, want string) {
	t.Helper()
	got := b.probe(t, from, src, dst, to)
	if got == "dropped" && want != got {
		got = b.probe(t, from, src, dst, to) // lost for another reason?
	}
	if got != want {
		t.Errorf("%s with source %s to %s: got %s, want %s", from.Name, src, dst, got, want)
	}
}

// expectFlows compares what is tracked on node-1.
func (b *tunnels) expectFlows(t *testing.T, port uint16, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, flows(t, b.node.NS, port)); diff != "" {
		t.Errorf("flows with port %d (-want +got):\n%s", port, diff)
	}
}
