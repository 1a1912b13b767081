// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func facts(zone string) *ClusterFacts {
	return &ClusterFacts{Self: Self{Name: "node-a", Zone: zone}, Others: map[netip.Addr]string{netip.MustParseAddr("10.244.2.2"): "node-b"}, TunnelPort: 8472}
}

// TestExplain: each stage that leaves an endpoint out is named.
func TestExplain(t *testing.T) {
	web := func(edit func(*objects.Service)) *objects.Service {
		svc := proxiertest.WebService()
		if edit != nil {
			edit(svc)
		}
		return svc
	}
	port := func(name string, proto inet.Proto, n uint16) func([]*objects.Slice) {
		return func(list []*objects.Slice) { list[0].Ports = []objects.SlicePort{{Name: name, Proto: proto, Port: n}} }
	}
	for _, tt := range []struct {
		name, eps, more string // more are of a second slice
		svc             *objects.Service
		edit            func([]*objects.Slice)
		unused, nolocal string // code of each endpoint, "-" for one that is used
		text            string
	}{
		{name: "ready", eps: "a1 b2", unused: "- -", nolocal: "- other-node", text: "it runs on node node-b"},
		{name: "not ready", eps: "a1/unready b2", unused: "not-ready -", nolocal: "not-ready other-node", text: "it is not ready"},
		{name: "draining beside a ready one", eps: "a1/draining b2", unused: "draining -", nolocal: "- other-node", text: "it terminates, and other endpoints are ready"},
		{name: "draining alone", eps: "a1/draining b2/draining", unused: "- -", nolocal: "- other-node"},
		{name: "zones", eps: "a1/z1 b2/z2", unused: "- other-zone", nolocal: "- other-node", text: "its topology hints keep it for zone z2, and this node is in zone z1"},
		{name: "nodes", eps: "a1/na b2/nb", unused: "- other-node", nolocal: "- other-node", text: "its topology hints keep it for node node-b"},
		{name: "twice", eps: "a1", more: "a1/unready", unused: "- twice", nolocal: "- twice", text: "another slice has it, too, and says that it is more ready"},
		{name: "port name", eps: "a1", edit: port("https", inet.TCP, 80), unused: "port-name", nolocal: "port-name", text: `slice web-1 has no port "http" for TCP; it has "https" for TCP`},
		{name: "protocol", eps: "a1", edit: port("http", inet.UDP, 80), unused: "port-name", nolocal: "port-name", text: `it has "http" for UDP`},
		{name: "family", eps: "a1", edit: func(l []*objects.Slice) { l[0].IPv6 = true }, unused: "other-family", nolocal: "other-family", text: "of the other family than the ClusterIP 10.96.0.10"},
		{
			name: "tunnel", eps: "a1 b2", edit: port("http", inet.UDP, 8472), svc: web(func(s *objects.Service) { s.Ports[0].Proto = inet.UDP }),
			unused: "- refused", nolocal: "- refused", text: "it is an address of a node and 8472/udp the port of its tunnels",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := proxiertest.SlicesOf(t, tt.eps)
			if tt.edit != nil {
				tt.edit(list)
			}
			svc := tt.svc
			if svc == nil {
				svc = web(nil)
			}
			list[0].Key = types.NamespacedName{Namespace: "default", Name: "web-1"}
			if tt.more != "" {
				more := proxiertest.SlicesOf(t, tt.more)
				more[0].Key = types.NamespacedName{Namespace: "default", Name: "web-2"}
				list = append(list, more...)
			}
			svc.ClusterIPs, svc.Ports = []netip.Addr{netip.MustParseAddr("10.96.0.10")}, svc.Ports[:1]
			e := Explain(svc, list, facts("z1"))
			var unused, nolocal, texts []string
			for _, u := range e.Ports[0].Endpoints {
				unused = append(unused, code(u.Unused))
				nolocal = append(nolocal, code(u.NotLocal))
				texts = append(texts, u.Unused.Text, u.NotLocal.Text)
			}
			if got := strings.Join(unused, " "); got != tt.unused {
				t.Errorf("unused: %s, want %s", got, tt.unused)
			}
			if got := strings.Join(nolocal, " "); got != tt.nolocal {
				t.Errorf("not local: %s, want %s", got, tt.nolocal)
			}
			if got := strings.Join(texts, "\n"); !strings.Contains(got, tt.text) {
				t.Errorf("%q is missing in\n%s", tt.text, got)
			}
		})
	}
}

// TestExplainBound: clients get as many endpoints as a frontend may have, and each one beyond
// says so, as does a problem of the Service.
func TestExplainBound(t *testing.T) {
	const most, n = 1 << nat.MaxClass, 1<<nat.MaxClass + 3
	slice := proxiertest.SlicesOf(t, "b1")[0]
	endpoint := slice.Endpoints[0]
	slice.Endpoints = make([]objects.Endpoint, n)
	addr := netip.MustParseAddr("10.128.0.0")
	for i := range slice.Endpoints {
		addr = addr.Next()
		endpoint.Addr = addr
		slice.Endpoints[i] = endpoint
	}
	svc := proxiertest.WebService()
	svc.ClusterIPs, svc.Ports = []netip.Addr{netip.MustParseAddr("10.96.0.10")}, svc.Ports[:1]
	e := Explain(svc, []*objects.Slice{slice}, facts("z1"))
	beyond := 0
	for _, u := range e.Ports[0].Endpoints {
		switch {
		case u.Unused == (Reason{}):
		case u.Unused.Code != CodeBound || u.Unused.Text != "it is beyond the first 65536 endpoints":
			t.Fatalf("%s: %+v", u.Addr, u.Unused)
		default:
			beyond++
		}
	}
	if beyond != n-most {
		t.Errorf("%d of %d endpoints are beyond the bound, want %d", beyond, n, n-most)
	}
	if len(e.Problems) != 1 || !strings.Contains(e.Problems[0].String(), "65539") {
		t.Errorf("problems %v", e.Problems)
	}
}

func code(r Reason) string {
	if r == (Reason{}) {
		return "-"
	}
	return r.Code
}

// TestExplainAgrees: an endpoint has no reason if and only if Resolve gives it to
// clients, for Services and slices at random.
func TestExplainAgrees(t *testing.T) {
	words := []string{"", "/unready", "/draining", "/z1", "/z2", "/na", "/nb", "/z1/draining", "/z2/unready", "/na/z2"}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var slices []*objects.Slice
		for i := range 1 + r.IntN(3) {
			var eps []string
			for range 1 + r.IntN(4) {
				eps = append(eps, fmt.Sprintf("%c%d%s", 'a'+rune(r.IntN(3)), 1+r.IntN(4), words[r.IntN(len(words))]))
			}
			list := proxiertest.SlicesOf(t, strings.Join(eps, " "))
			list[0].Key = types.NamespacedName{Namespace: "default", Name: fmt.Sprint("web-", i)}
			if r.IntN(6) == 0 {
				list[0].Ports[0].Name = "other"
			}
			if r.IntN(6) == 0 {
				list[0].Ports[0].Port = 8472
			}
			slices = append(slices, list[0])
		}
		svc := proxiertest.WebService()
		svc.ExternalLocal, svc.InternalLocal = r.IntN(2) == 0, r.IntN(2) == 0
		svc.Ports[0].NodePort = 30080
		svc.ExternalIPs = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		if r.IntN(4) == 0 {
			svc.Ports[0].Proto = inet.UDP
			for _, s := range slices {
				s.Ports[0].Proto = inet.UDP
			}
		}
		e := Explain(svc, slices, facts([]string{"", "z1", "z2"}[r.IntN(3)]))
		for _, p := range e.Ports {
			checkAgrees(t, seed, &p, e.Claims)
		}
	}
}

// checkAgrees compares the reasons of a port with the frontends that have its number.
func checkAgrees(t *testing.T, seed uint64, p *PortExplanation, claims []Claim) {
	t.Helper()
	var used, local []netip.AddrPort
	for _, u := range p.Endpoints {
		at := netip.AddrPortFrom(u.Addr, u.Port)
		if u.Unused == (Reason{}) && !slices.Contains(used, at) {
			used = append(used, at)
		}
		if u.NotLocal == (Reason{}) && !slices.Contains(local, at) {
			local = append(local, at)
		}
	}
	slices.SortFunc(used, netip.AddrPort.Compare)
	slices.SortFunc(local, netip.AddrPort.Compare)
	for _, c := range claims {
		if inet.FamilyOf(c.key.IP) != p.Family || c.key.Port != p.Port.Port && c.key.Port != p.Port.NodePort {
			continue
		}
		var got []netip.AddrPort
		for _, b := range c.Frontend.Backends {
			got = append(got, b.AddrPort())
		}
		want := used
		if c.Frontend.Policy == nat.Drop || c.Frontend.Policy == nat.Internal && c.Frontend.Exclusive && !slices.Equal(got, used) {
			want = local // internalTrafficPolicy Local
		}
		if !p.Any {
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: %s goes to %v, and endpoints without a reason are %v", seed, c.key, got, want)
		}
		if c.Frontend.Policy == nat.Local && !slices.Equal(c.Frontend.LocalBackends, local) {
			t.Errorf("seed %d: %s goes to %v on this node, and endpoints without a reason are %v", seed, c.key, c.Frontend.LocalBackends, local)
		}
	}
}
