// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func testTable(cfg *Config) *NodeTable {
	return tableOf(cfg,
		&objects.Node{Name: "node-a", Zone: "z1", Addresses: proxiertest.MustAddrs("192.0.2.1", "2001:db8::1"), PodCIDRs: proxiertest.MustPrefixes("10.244.1.0/24")},
		&objects.Node{Name: "node-b", Zone: "z2", Addresses: proxiertest.MustAddrs("192.0.2.2"), PodCIDRs: proxiertest.MustPrefixes("10.244.2.0/24", "fd00:10:244:2::/64")},
	)
}

// TestCheckAddresses gives a Service every kind of address from a load balancer and
// from its author.
func TestCheckAddresses(t *testing.T) {
	for _, tt := range []struct {
		name         string
		policy       []netip.Prefix
		lb, external []netip.Addr
		wantLB, want string
		told         []string
	}{
		{name: "ordinary", lb: proxiertest.MustAddrs("203.0.113.1"), external: proxiertest.MustAddrs("198.51.100.1"), wantLB: "[203.0.113.1]", want: "[198.51.100.1]"},
		{name: "load balancer at the nodes' own addresses", lb: proxiertest.MustAddrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), wantLB: "[192.0.2.1 192.0.2.2 2001:db8::1]", want: "[]"},
		{name: "external IPs of nodes", external: proxiertest.MustAddrs("192.0.2.1", "192.0.2.2"), wantLB: "[]", want: "[192.0.2.1 192.0.2.2]", told: []string{
			"Service default/web: spec.externalIPs: 192.0.2.1 is an address of Node node-a, whose own ports of these numbers are out of reach",
			"Service default/web: spec.externalIPs: 192.0.2.2 is an address of Node node-b, whose own ports of these numbers are out of reach",
		}},
		{name: "pods", lb: proxiertest.MustAddrs("10.244.1.9", "203.0.113.1"), external: proxiertest.MustAddrs("fd00:10:244:2::9", "198.51.100.1"), wantLB: "[203.0.113.1]", want: "[198.51.100.1]", told: []string{
			"Service default/web: spec.externalIPs: fd00:10:244:2::9 is in a range of pods; it is not served",
			"Service default/web: status.loadBalancer.ingress: 10.244.1.9 is in a range of pods; it is not served",
		}},
		{name: "only a load balancer in pods", lb: proxiertest.MustAddrs("10.244.1.9"), external: proxiertest.MustAddrs("198.51.100.1"), wantLB: "[]", want: "[198.51.100.1]", told: []string{
			"Service default/web: status.loadBalancer.ingress: 10.244.1.9 is in a range of pods; it is not served",
		}},
		{name: "only an external IP in pods", lb: proxiertest.MustAddrs("203.0.113.1"), external: proxiertest.MustAddrs("10.244.1.9"), wantLB: "[203.0.113.1]", want: "[]", told: []string{
			"Service default/web: spec.externalIPs: 10.244.1.9 is in a range of pods; it is not served",
		}},
		{name: "allow list", policy: proxiertest.MustPrefixes("198.51.100.0/24"), lb: proxiertest.MustAddrs("203.0.113.1"), external: proxiertest.MustAddrs("198.51.100.1", "8.8.8.8"), wantLB: "[203.0.113.1]", want: "[198.51.100.1]", told: []string{
			"Service default/web: spec.externalIPs: 8.8.8.8 is not allowed by --external-ip-policy; it is not served",
		}},
		{name: "none allowed", policy: []netip.Prefix{}, external: proxiertest.MustAddrs("198.51.100.1"), wantLB: "[]", want: "[]", told: []string{
			"Service default/web: spec.externalIPs: 198.51.100.1 is not allowed by --external-ip-policy; it is not served",
		}},
	} {
		svc := proxiertest.WebService()
		svc.ClusterIPs = proxiertest.MustAddrs("10.96.0.10", "fd00:10:96::10")
		svc.LoadBalancerIPs, svc.ExternalIPs = tt.lb, tt.external
		f := testTable(&Config{NodeName: "node-a", ExternalIPs: tt.policy}).Facts()
		got, problems := CheckAddresses(svc, &f)
		if lb, external := fmt.Sprint(got.LoadBalancerIPs), fmt.Sprint(got.ExternalIPs); lb != tt.wantLB || external != tt.want {
			t.Errorf("%s: serves %s and %s, want %s and %s", tt.name, lb, external, tt.wantLB, tt.want)
		}
		if diff := cmp.Diff(tt.told, proxiertest.ProblemTexts(problems)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestConcerned has a node come and go: a Service with one of its addresses, with an address
// of its pods, or with a hint for its zone is resolved again, and no other. Endpoints count
// if they have the port of the tunnels, which is not the usual one here.
func TestConcerned(t *testing.T) {
	cfg := &Config{NodeName: "node-a", Overlay: &overlay.Config{Mode: overlay.VXLAN, Port: 4789}}
	table, notes := testTable(cfg), NewNotes()
	table.Take()
	f := table.Facts()
	for _, addr := range []string{"192.0.2.3", "10.244.3.9", "192.0.2.2", "10.244.2.9", "203.0.113.1"} {
		svc := &objects.Service{Key: proxiertest.NameOf(addr), ExternalIPs: proxiertest.MustAddrs(addr)}
		notes.Set(svc.Key, svc, nil, nil, &f)
		for name, port := range map[string]uint16{"tunnel-": 4789, "other-": 8472} {
			slice := &objects.Slice{Ports: []objects.SlicePort{{Proto: inet.UDP, Port: port}}, Endpoints: []objects.Endpoint{{Addr: svc.ExternalIPs[0]}}}
			notes.Set(proxiertest.NameOf(name+addr), nil, nil, []*objects.Slice{slice}, &f)
		}
	}
	for _, zone := range []string{"z1", "z3"} {
		slice := &objects.Slice{Endpoints: []objects.Endpoint{{ForZones: objects.NamesOf(zone, "z9")}}}
		notes.Set(proxiertest.NameOf(zone), nil, nil, []*objects.Slice{slice}, &f)
	}
	node := &objects.Node{Name: "node-c", Zone: "z3", Addresses: proxiertest.MustAddrs("192.0.2.3"), PodCIDRs: proxiertest.MustPrefixes("10.244.3.0/24")}
	taint := *node
	taint.Leaving = true
	for _, step := range []struct {
		name string
		node *objects.Node
		want string
	}{
		{"came", node, "[default/10.244.3.9 default/192.0.2.3 default/tunnel-192.0.2.3 default/z3]"},
		{"leaves", &taint, "[]"},
		{"gone", nil, "[default/10.244.3.9 default/192.0.2.3 default/tunnel-192.0.2.3 default/z3]"},
	} {
		table.Set("node-c", step.node)
		change := table.Take()
		got := notes.Concerned(&change)
		slices.SortFunc(got, objects.CompareNames)
		if fmt.Sprint(got) != step.want || change.IsEmpty() != (step.want == "[]") {
			t.Errorf("%s: %v is concerned, want %v", step.name, got, step.want)
		}
	}
}

// TestCheckEndpoints has slices name nodes: the port of the tunnels is refused, other
// ports and other protocols belong to Pods on the host's network.
func TestCheckEndpoints(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tunnels *overlay.Config
		port    uint16 // of the first port
		want    string // endpoints of the first port; the others have all three
		told    []string
	}{
		{"vxlan", &overlay.Config{Mode: overlay.VXLAN}, 8472, "[10.244.1.9:8472]", []string{
			"EndpointSlice default/web-1: endpoints.addresses: 192.0.2.1 is an address of Node node-a and 8472/udp the port of its tunnels; it is not served",
			"EndpointSlice default/web-1: endpoints.addresses: 192.0.2.2 is an address of Node node-b and 8472/udp the port of its tunnels; it is not served",
		}},
		{"another port of vxlan", &overlay.Config{Mode: overlay.VXLAN, Port: 4789}, 4789, "[10.244.1.9:4789]", []string{
			"EndpointSlice default/web-1: endpoints.addresses: 192.0.2.1 is an address of Node node-a and 4789/udp the port of its tunnels; it is not served",
			"EndpointSlice default/web-1: endpoints.addresses: 192.0.2.2 is an address of Node node-b and 4789/udp the port of its tunnels; it is not served",
		}},
		{"the usual port, which is free then", &overlay.Config{Mode: overlay.VXLAN, Port: 4789}, 8472, "[10.244.1.9:8472 192.0.2.1:8472 192.0.2.2:8472]", nil},
		{"no tunnels", nil, 8472, "[10.244.1.9:8472 192.0.2.1:8472 192.0.2.2:8472]", nil},
	} {
		ports := []objects.SlicePort{{Name: "dns", Proto: inet.UDP, Port: tt.port}, {Name: "tcp", Proto: inet.TCP, Port: tt.port}, {Name: "web", Proto: inet.UDP, Port: 53}}
		slice := &objects.Slice{Key: proxiertest.NameOf("web-1"), Service: proxiertest.NameOf("web"), Ports: ports}
		for _, ip := range proxiertest.MustAddrs("192.0.2.1", "192.0.2.2", "10.244.1.9") {
			slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: ip, Ready: true})
		}
		f := testTable(&Config{NodeName: "node-a", Overlay: tt.tunnels}).Facts()
		list, problems := CheckEndpoints([]*objects.Slice{slice}, &f)
		if diff := cmp.Diff(tt.told, proxiertest.ProblemTexts(problems)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tt.name, diff)
		}
		for i, p := range ports {
			var got []netip.AddrPort
			targets, _ := endpointsOf(list, &objects.ServicePort{Name: p.Name, Proto: p.Proto}, false, &Self{}, nil)
			for _, e := range targets {
				got = append(got, e.backend())
			}
			if i == 0 && fmt.Sprint(got) != tt.want || i > 0 && len(got) != 3 {
				t.Errorf("%s: port %s has endpoints %v", tt.name, p.Name, got)
			}
		}
		if len(slice.Endpoints) != 3 || len(slice.Ports) != 3 {
			t.Errorf("%s: the slice of the store was changed", tt.name)
		}
	}
}

// TestCheckEndpointsUnderlay has slices name addresses at which nodes take tunnel packets and
// which are not in their status: of the annotation, of flannel's, and of this node's own. The
// Services that name them are concerned when such an address comes or goes.
func TestCheckEndpointsUnderlay(t *testing.T) {
	lease := &flannel.Lease{}
	lease.Public[0] = netip.MustParseAddr("203.0.113.3")
	table := tableOf(&Config{NodeName: "node-a", FlannelCompat: true, Overlay: &overlay.Config{}},
		&objects.Node{Name: "node-a", Addresses: proxiertest.MustAddrs("192.0.2.1"), Underlay: proxiertest.MustAddrs("192.0.2.1")},
		&objects.Node{Name: "node-b", Addresses: proxiertest.MustAddrs("192.0.2.2"), Underlay: proxiertest.MustAddrs("10.9.0.2", "192.0.2.2")},
		&objects.Node{Name: "node-c", Addresses: proxiertest.MustAddrs("192.0.2.3"), Underlay: proxiertest.MustAddrs("192.0.2.3"), Flannel: lease},
	)
	table.SetOwn(proxiertest.MustAddrs("10.9.0.1"))
	table.Take()
	slice := &objects.Slice{Key: proxiertest.NameOf("web-1"), Service: proxiertest.NameOf("web"), Ports: []objects.SlicePort{{Proto: inet.UDP, Port: 8472}}}
	for _, ip := range proxiertest.MustAddrs("10.9.0.1", "10.9.0.2", "10.9.0.3", "203.0.113.3") {
		slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: ip, Ready: true})
	}
	served := func() string {
		f := table.Facts()
		list, _ := CheckEndpoints([]*objects.Slice{slice}, &f)
		targets, _ := endpointsOf(list, &objects.ServicePort{Proto: inet.UDP}, false, &Self{}, nil)
		var out []netip.AddrPort
		for _, e := range targets {
			out = append(out, e.backend())
		}
		return fmt.Sprint(out)
	}
	if got, want := served(), "[10.9.0.3:8472]"; got != want {
		t.Errorf("endpoints %s, want %s", got, want)
	}
	notes := NewNotes()
	f := table.Facts()
	notes.Set(slice.Service, &objects.Service{Key: slice.Service}, nil, []*objects.Slice{slice}, &f)
	table.Set("node-b", &objects.Node{Name: "node-b", Addresses: proxiertest.MustAddrs("192.0.2.2"), Underlay: proxiertest.MustAddrs("10.9.0.3", "192.0.2.2")})
	change := table.Take()
	if got := notes.Concerned(&change); !slices.Contains(got, slice.Service) {
		t.Errorf("a change of the underlay concerns %v, want %s", got, slice.Service)
	}
	if got, want := served(), "[10.9.0.2:8472]"; got != want {
		t.Errorf("after the change: endpoints %s, want %s", got, want)
	}
}
