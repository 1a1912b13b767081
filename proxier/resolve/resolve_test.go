// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

var policyNames = map[nat.TrafficPolicy]string{
	nat.Reject: "reject", nat.Drop: "drop", nat.Internal: "internal", nat.External: "external", nat.Local: "local",
}

// describe prints claims, one a line. A backend on this node has a star; those
// that clients from outside reach under a Local policy stand behind "outside".
func describe(list []Claim) []string {
	var out []string
	for _, c := range list {
		f := c.Frontend
		s := fmt.Sprint(c.key, " ", policyNames[f.Policy])
		for _, b := range f.Backends {
			s += " " + b.String()
			if b.OnNode {
				s += "*"
			}
		}
		if f.Policy == nat.Local {
			s += " outside"
			for _, b := range f.LocalBackends {
				s += " " + b.String()
			}
		}
		if f.Exclusive {
			s += " exclusive"
		}
		if f.Restricted {
			s += fmt.Sprint(" from ", f.Sources)
		}
		if f.Affinity > 0 {
			s += fmt.Sprint(" sticky ", f.Affinity)
		}
		out = append(out, s)
	}
	return out
}

// TestResolvePolicies is the table of kube-proxy's verdicts: what each kind of
// frontend becomes, by policy and by where endpoints are. This is node-a.
func TestResolvePolicies(t *testing.T) {
	const a1, b2 = "10.244.1.1:8080", "10.244.2.2:8080"
	for _, tt := range []struct {
		name     string
		internal bool // internalTrafficPolicy: Local
		external bool // externalTrafficPolicy: Local
		eps      string
		cluster  string // what the ClusterIP does
		outside  string // what the others do
	}{
		{name: "no endpoints", cluster: "reject", outside: "reject"},
		{name: "none usable", eps: "a1/unready b2/gone", cluster: "reject", outside: "reject"},
		{name: "none, policies Local", internal: true, external: true, cluster: "reject", outside: "reject"},
		{name: "here and there", eps: "a1 b2", cluster: "internal " + a1 + "* " + b2, outside: "external " + a1 + "* " + b2},
		{name: "internal Local", internal: true, eps: "a1 b2", cluster: "internal " + a1 + "*", outside: "external " + a1 + "* " + b2},
		{name: "internal Local, none here", internal: true, eps: "b2", cluster: "drop", outside: "external " + b2},
		{name: "external Local", external: true, eps: "a1 b2", cluster: "internal " + a1 + "* " + b2, outside: "local " + a1 + "* " + b2 + " outside " + a1},
		{name: "external Local, none here", external: true, eps: "b2", cluster: "internal " + b2, outside: "local " + b2 + " outside"},
		{name: "both Local", internal: true, external: true, eps: "a1 b2", cluster: "internal " + a1 + "*", outside: "local " + a1 + "* " + b2 + " outside " + a1},
		{name: "draining here, ready there", internal: true, external: true, eps: "a1/draining b2", cluster: "internal " + a1 + "*", outside: "local " + b2 + " outside " + a1},
		{name: "draining there, none here", internal: true, external: true, eps: "b2/draining", cluster: "drop", outside: "local " + b2 + " outside"},
		{name: "unready here, ready there", internal: true, external: true, eps: "a1/unready b2", cluster: "drop", outside: "local " + b2 + " outside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := proxiertest.WebService()
			svc.InternalLocal, svc.ExternalLocal = tt.internal, tt.external
			want := []string{
				"10.96.0.10:80/tcp " + tt.cluster + " exclusive", "0.0.0.0:30080/tcp " + tt.outside,
				"203.0.113.1:80/tcp " + tt.outside, "198.51.100.1:80/tcp " + tt.outside,
			}
			got := describe(claimsOf(svc, proxiertest.SlicesOf(t, tt.eps), &Self{Name: "node-a"}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestResolveSources restricts load balancer addresses, and nothing else.
func TestResolveSources(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ranges []string
		self   string
		want   string // of the load balancer's address
		want6  string
	}{
		{name: "both families", ranges: []string{"192.0.2.0/24", "2001:db8::/32"}, want: "[192.0.2.0/24]", want6: "[2001:db8::/32]"},
		{name: "a family without a range is closed", ranges: []string{"192.0.2.0/24"}, want: "[192.0.2.0/24]", want6: "[]"},
		{name: "none could be parsed", want: "[]", want6: "[]"},
		{name: "the node is allowed", ranges: []string{"192.0.2.0/24"}, self: "192.0.2.7", want: "[192.0.2.0/24 203.0.113.1/32]", want6: "[]"},
		{name: "the node is not", ranges: []string{"192.0.2.0/24"}, self: "198.51.100.7", want: "[192.0.2.0/24]", want6: "[]"},
		{name: "the node is allowed by IPv6", ranges: []string{"2001:db8::/32"}, self: "2001:db8::7", want: "[]", want6: "[2001:db8::/32 2001:db8:1::1/128]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := proxiertest.WebService()
			svc.ClusterIPs = append(svc.ClusterIPs, netip.MustParseAddr("fd00:10:96::a"))
			svc.LoadBalancerIPs = append(svc.LoadBalancerIPs, netip.MustParseAddr("2001:db8:1::1"))
			svc.Restricted, svc.SourceRanges = true, proxiertest.MustPrefixes(tt.ranges...)
			self := &Self{Name: "node-a"}
			if tt.self != "" {
				self.Addrs = []netip.Addr{netip.MustParseAddr(tt.self)}
			}
			var got []string
			for _, line := range describe(claimsOf(svc, proxiertest.SlicesOf(t, "a1"), self)) {
				if addr, from, ok := strings.Cut(line, " from "); ok {
					got = append(got, strings.Fields(addr)[0]+" "+from)
				}
			}
			want := []string{"203.0.113.1:80/tcp " + tt.want, "[2001:db8:1::1]:80/tcp " + tt.want6}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("restricted frontends (-want +got):\n%s", diff)
			}
		})
	}
}

// TestResolveFamilies has a port in both families and one more protocol, and
// slices of each family. What is not of a family of the Service is left out.
func TestResolveFamilies(t *testing.T) {
	svc := proxiertest.WebService()
	svc.ExternalIPs = append(svc.ExternalIPs, netip.MustParseAddr("2001:db8::1"))
	svc.Affinity = 3 * time.Hour
	svc.Ports = append(svc.Ports, objects.ServicePort{Name: "dns", Proto: inet.UDP, Port: 53})
	list := proxiertest.SlicesOf(t, "a1")
	six := &objects.Slice{IPv6: true, Ports: []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: 8080}, {Name: "dns", Proto: inet.UDP, Port: 5353}},
		Endpoints: []objects.Endpoint{{Addr: netip.MustParseAddr("fd00:10:244::1"), Ready: true}}}
	list = append(list, six)
	single := []string{
		"10.96.0.10:80/tcp internal 10.244.1.1:8080* exclusive sticky 3h0m0s",
		"0.0.0.0:30080/tcp external 10.244.1.1:8080* sticky 3h0m0s",
		"203.0.113.1:80/tcp external 10.244.1.1:8080* sticky 3h0m0s",
		"198.51.100.1:80/tcp external 10.244.1.1:8080* sticky 3h0m0s",
		"10.96.0.10:53/udp reject exclusive sticky 3h0m0s",
		"203.0.113.1:53/udp reject sticky 3h0m0s",
		"198.51.100.1:53/udp reject sticky 3h0m0s",
	}
	if diff := cmp.Diff(single, describe(claimsOf(svc, list, &Self{Name: "node-a"}))); diff != "" {
		t.Errorf("IPv4 (-want +got):\n%s", diff)
	}
	svc.ClusterIPs = []netip.Addr{netip.MustParseAddr("fd00:10:96::a")}
	want := []string{
		"[fd00:10:96::a]:80/tcp internal [fd00:10:244::1]:8080 exclusive sticky 3h0m0s",
		"[::]:30080/tcp external [fd00:10:244::1]:8080 sticky 3h0m0s",
		"[2001:db8::1]:80/tcp external [fd00:10:244::1]:8080 sticky 3h0m0s",
		"[fd00:10:96::a]:53/udp internal [fd00:10:244::1]:5353 exclusive sticky 3h0m0s",
		"[2001:db8::1]:53/udp external [fd00:10:244::1]:5353 sticky 3h0m0s",
	}
	if diff := cmp.Diff(want, describe(claimsOf(svc, list, &Self{Name: "node-a"}))); diff != "" {
		t.Errorf("IPv6 (-want +got):\n%s", diff)
	}
}

// TestResolveNothing is what has no frontends at all.
func TestResolveNothing(t *testing.T) {
	headless := proxiertest.WebService()
	headless.ClusterIPs = nil
	portless := proxiertest.WebService()
	portless.Ports = nil
	for name, svc := range map[string]*objects.Service{"no Service": nil, "headless": headless, "no ports": portless} {
		if got := claimsOf(svc, proxiertest.SlicesOf(t, "a1"), &Self{}); len(got) != 0 {
			t.Errorf("%s: %v, want nothing", name, describe(got))
		}
	}
}

// TestResolveOnce has a Service name an address twice: the first use counts.
func TestResolveOnce(t *testing.T) {
	svc := proxiertest.WebService()
	svc.ExternalIPs = []netip.Addr{svc.LoadBalancerIPs[0], svc.ClusterIPs[0]}
	want := []string{
		"10.96.0.10:80/tcp reject exclusive", "0.0.0.0:30080/tcp reject", "203.0.113.1:80/tcp reject",
	}
	if diff := cmp.Diff(want, describe(claimsOf(svc, nil, &Self{}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestResolveIsPure asks twice: neither call may change what it was given.
func TestResolveIsPure(t *testing.T) {
	svc, list, self := proxiertest.WebService(), proxiertest.SlicesOf(t, "a1 b2/draining"), &Self{Name: "node-a"}
	svc.ExternalLocal, svc.Restricted = true, true
	svc.SourceRanges = proxiertest.MustPrefixes("192.0.2.0/24")
	self.Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	first := describe(claimsOf(svc, list, self))
	if diff := cmp.Diff(first, describe(claimsOf(svc, list, self))); diff != "" {
		t.Errorf("second call differs (-first +second):\n%s", diff)
	}
}

func TestOwner(t *testing.T) {
	svc := proxiertest.WebService()
	svc.Ports = []objects.ServicePort{{Proto: inet.TCP, Port: 80}}
	if got := claimsOf(svc, nil, &Self{})[0].Frontend.Owner; got != "default/web" {
		t.Errorf("owner of an unnamed port: %q, want default/web", got)
	}
	svc.Ports[0].Name = "http"
	if got := claimsOf(svc, nil, &Self{})[0].Frontend.Owner; got != "default/web:http" {
		t.Errorf("owner: %q, want default/web:http", got)
	}
}

// TestVital marks the Services that a repair serves first.
func TestVital(t *testing.T) {
	for name, want := range map[types.NamespacedName]bool{
		{Namespace: "kube-system", Name: "kube-dns"}: true, {Namespace: "default", Name: "kubernetes"}: true,
		{Namespace: "default", Name: "kube-dns"}: false, {Namespace: "mine", Name: "kubernetes"}: false,
	} {
		b := builder{svc: &objects.Service{Key: name}, port: &objects.ServicePort{}}
		if got := b.frontend(nat.External, nil).First; got != want {
			t.Errorf("%s: First is %v, want %v", name, got, want)
		}
	}
}

func claimsOf(svc *objects.Service, list []*objects.Slice, self *Self) []Claim {
	out, _ := Resolve(svc, list, self, nil)
	return out
}

// TestResolveBounds has a Service ask for 300 ports at 1,000 external IPs with 10
// endpoints: 22 KB of YAML for 3 million elements. What fits is served, ClusterIPs
// first, and always the same.
func TestResolveBounds(t *testing.T) {
	svc := &objects.Service{Key: proxiertest.NameOf("web"), ClusterIPs: proxiertest.MustAddrs("10.96.0.10")}
	for i := range 1000 {
		svc.ExternalIPs = append(svc.ExternalIPs, netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
	}
	slice := proxiertest.SlicesOf(t, "a1 a2 a3 a4 a5 b1 b2 b3 b4 b5")[0]
	slice.Ports = nil
	for i := range uint16(300) {
		name := fmt.Sprint("p", i)
		svc.Ports = append(svc.Ports, objects.ServicePort{Name: name, Proto: inet.TCP, Port: 1000 + i, NodePort: 30000 + i})
		slice.Ports = append(slice.Ports, objects.SlicePort{Name: name, Proto: inet.TCP, Port: 1000 + i})
	}
	list, problems := Resolve(svc, []*objects.Slice{slice}, &Self{Name: "node-a"}, nil)
	uses := map[use]int{}
	for i := range list {
		uses[list[i].use]++
	}
	if want := (map[use]int{useClusterIP: 300, useNodePort: 300, useExternalIP: objects.MaxFrontends - 600}); !maps.Equal(uses, want) {
		t.Errorf("frontends by use: %v, want %v", uses, want)
	}
	want := []string{fmt.Sprintf("Service default/web: spec.externalIPs: %d addresses and ports are not served: a Service has at most 16384, with 524288 endpoints and source ranges in all", 300_000-objects.MaxFrontends+600)}
	if diff := cmp.Diff(want, proxiertest.ProblemTexts(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	again, _ := Resolve(svc, []*objects.Slice{slice}, &Self{Name: "node-a"}, nil)
	if len(again) != len(list) || again[len(again)-1].key != list[len(list)-1].key {
		t.Error("another choice the second time")
	}
	if &list[0].Frontend.Backends[0] != &list[1].Frontend.Backends[0] {
		t.Error("frontends of a port do not share their endpoints")
	}
}
