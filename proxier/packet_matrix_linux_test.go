// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/proxier/resolve"
)

// A row of the matrix: who dials what, and what svc1 to svc3 do about it. Empty
// is as in the default configuration.
type row struct {
	from, to string
	svc      [3]string
}

// TestPacketMatrix sends packets along every way through three Services with an
// endpoint here and one there, in four configurations: kube-proxy's
// TestInternalExternalMasquerade, and external IPs. m is masqueraded, - is not.
func TestPacketMatrix(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testMatrix(t, newBed(t, defaults(), link))
		})
	}
}

func testMatrix(t *testing.T, b *bed) {
	t.Helper()
	matrix := []row{
		//                          svc1      svc2: eTP Local  svc3: iTP Local
		{"pod", "ClusterIP", [3]string{"both -", "both -", "here -"}},
		{"pod", "NodePort", [3]string{"both m", "both -", "both m"}},
		{"pod", "LB VIP", [3]string{"both m", "both -", "both m"}},
		{"pod", "external IP", [3]string{"both m", "both -", "both m"}},
		{"node", "ClusterIP", [3]string{"both m", "both m", "here m"}},
		{"node", "NodePort", [3]string{"both m", "both m", "both m"}},
		{"node", "LB VIP", [3]string{"both m", "both m", "both m"}},
		{"node", "external IP", [3]string{"both m", "both m", "both m"}},
		{"external", "ClusterIP", [3]string{"both m", "both m", "here m"}},
		{"external", "NodePort", [3]string{"both m", "here -", "both m"}},
		{"external", "LB VIP", [3]string{"both m", "here -", "both m"}},
		{"external", "external IP", [3]string{"both m", "here -", "both m"}},
	}
	// Without a detector everybody is a pod to a ClusterIP, and nobody is to
	// any other address.
	undetected := []row{
		{"pod", "NodePort", [3]string{"", "here -", ""}},
		{"pod", "LB VIP", [3]string{"", "here -", ""}},
		{"pod", "external IP", [3]string{"", "here -", ""}},
	}
	unmasqueraded := []row{
		{"node", "ClusterIP", [3]string{"both -", "both -", "here -"}},
		{"external", "ClusterIP", [3]string{"both -", "both -", "here -"}},
	}
	all := []row{{"pod", "ClusterIP", [3]string{"both m", "both m", "here m"}}}

	for n, svc := range []any{serviceObject(1), serviceObject(2, externalLocal), serviceObject(3, internalLocal)} {
		b.apply(t, svc)
		b.apply(t, sliceObjects(n+1, ready(b.here), ready(b.there))...)
	}
	for _, config := range []struct {
		name     string
		set      func(*resolve.Config)
		override [][]row
	}{
		{"default", func(*resolve.Config) {}, nil},
		{"no local detector", func(c *resolve.Config) { c.ClusterCIDRs = nil }, [][]row{undetected, unmasqueraded}},
		{"masqueradeAll", func(c *resolve.Config) { c.MasqueradeAll = true }, [][]row{all}},
		{"both", func(c *resolve.Config) { c.ClusterCIDRs, c.MasqueradeAll = nil, true }, [][]row{undetected, all}},
	} {
		t.Run(config.name, func(t *testing.T) {
			cfg := defaults()
			config.set(&cfg)
			b.restart(t, cfg)
			for _, r := range matrix {
				b.row(t, r.with(config.override...))
			}
		})
	}
}

// with returns r as some of the overrides have it.
func (r row) with(overrides ...[]row) row {
	for _, rows := range overrides {
		for _, o := range rows {
			for i, want := range o.svc {
				if o.from == r.from && o.to == r.to && want != "" {
					r.svc[i] = want
				}
			}
		}
	}
	return r
}

func (b *bed) row(t *testing.T, r row) {
	t.Helper()
	client := map[string]origin{"pod": b.pod(), "node": b.itself(), "external": b.external()}[r.from]
	for i, want := range r.svc {
		want = strings.Replace(want, "both", "here there", 1)
		for family := range ipFamilies {
			b.expect(t, client, b.frontend(r.to, i+1, family), want)
		}
	}
}

// frontend returns one of the addresses of the n-th Service.
func (b *bed) frontend(kind string, n, family int) inet.Addr {
	ip, port := netip.Addr{}, uint16(80)
	switch kind {
	case "ClusterIP":
		ip = clusterIP(n)[family]
	case "NodePort":
		ip, port = b.node.Addrs()[family], nodePort(n)
	case "LB VIP":
		ip = vip(n)[family]
	case "external IP":
		ip = externalIP(n)[family]
	}
	return tcp(ip, port)
}
