// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func TestConvertSlice(t *testing.T) {
	in := &discoveryv1.EndpointSlice{}
	manifest := `
metadata:
  namespace: default
  name: web-1
  labels: {kubernetes.io/service-name: web}
  annotations: {endpoints.kubernetes.io/last-change-trigger-time: "2026-11-21T06:00:00.5Z"}
addressType: IPv6
ports:
- {name: http, port: 8080, protocol: TCP}
- {port: 53, protocol: UDP}
- {name: all}
- {name: http, port: 8081}
- {name: http, port: 8080, protocol: SCTP}
- {name: big, port: 70000}
- {name: odd, port: 1, protocol: ESP}
endpoints:
- addresses: [fd00::1, fd00::2]
  nodeName: node-a
  zone: z1
  hints: {forZones: [{name: z1}, {name: z2}], forNodes: [{name: node-a}]}
- {addresses: [fd00::3], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [fd00::4], conditions: {ready: false}}
- {addresses: [10.0.0.1]}
- {addresses: ["::ffff:10.0.0.1"]}
- {addresses: []}
- {addresses: [fe80::1]}
- {addresses: [web.example.com]}
`
	if err := yaml.UnmarshalStrict([]byte(manifest), in); err != nil {
		t.Fatal(err)
	}
	got, problems := Slice(in)
	ips := proxiertest.MustAddrs("fd00::1", "fd00::3", "fd00::4")
	want := &objects.Slice{
		Key:     types.NamespacedName{Namespace: "default", Name: "web-1"},
		Service: types.NamespacedName{Namespace: "default", Name: "web"},
		IPv6:    true,
		Ports:   []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: 8080}, {Name: "", Proto: inet.UDP, Port: 53}, {Name: "http", Proto: inet.SCTP, Port: 8080}},
		Endpoints: []objects.Endpoint{
			{Addr: ips[0], Node: objects.NameOf("node-a"), Zone: objects.NameOf("z1"), Ready: true, Serving: true, ForZones: objects.NamesOf("z1", "z2"), ForNodes: objects.NamesOf("node-a")},
			{Addr: ips[1], Serving: true, Terminating: true},
			{Addr: ips[2], Serving: true},
		},
		Changed: time.Date(2026, 11, 21, 6, 0, 0, 5e8, time.UTC),
	}
	if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" {
		t.Errorf("convertSlice (-want +got):\n%s", diff)
	}
	wantProblems := []string{
		"ports[2].port: is missing; a slice for all ports is not supported",
		`ports[3].name: "http" for tcp is there already`,
		"ports[5].port: 70000 is not a port number from 1 to 65535",
		`ports[6].protocol: protocol "ESP" is not TCP, UDP or SCTP`,
		"endpoints[3].addresses[0]: 10.0.0.1 is not of the slice's addressType IPv6",
		"endpoints[4].addresses[0]: 10.0.0.1 is not of the slice's addressType IPv6",
		"endpoints[5].addresses: is empty",
		"endpoints[6].addresses[0]: fe80::1 is a link-local address",
		`endpoints[7].addresses[0]: "web.example.com" is not an IP address`,
	}
	if diff := cmp.Diff(wantProblems, texts(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestConvertSliceNone(t *testing.T) {
	for _, tc := range []struct{ name, labels, addressType, problem string }{
		{"headless", "{kubernetes.io/service-name: web, service.kubernetes.io/headless: ''}", "IPv4", ""},
		{"names", "{kubernetes.io/service-name: web}", "FQDN", ""},
		{"no service", "{}", "IPv4", "metadata.labels: label kubernetes.io/service-name is missing, so it belongs to no Service"},
		{"no type", "{kubernetes.io/service-name: web}", "", `addressType: "" is not IPv4, IPv6 or FQDN`},
	} {
		in := &discoveryv1.EndpointSlice{}
		manifest := "metadata: {namespace: default, name: web-1, labels: " + tc.labels + "}\naddressType: '" + tc.addressType + "'\n"
		if err := yaml.Unmarshal([]byte(manifest), in); err != nil {
			t.Fatal(err)
		}
		got, problems := Slice(in)
		var problem string
		if list := texts(problems); len(list) > 0 {
			problem = list[0]
		}
		if got != nil || problem != tc.problem {
			t.Errorf("%s: %v, %q, want none, %q", tc.name, got, problem, tc.problem)
		}
	}
}

func BenchmarkConvertSlice(b *testing.B) {
	in := proxiertest.BenchSlice(0, 10)
	for b.Loop() {
		Slice(in)
	}
}
