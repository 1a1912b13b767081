// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package proxiertest holds what the tests of several packages share.
package proxiertest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"fairlead/internal/inet"
	"fairlead/internal/worker"
	"fairlead/proxier/objects"
)

// MustPrefixes parses CIDRs.
func MustPrefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Values compares netip values and others that have unexported fields.
var Values = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// MustAddrs parses addresses.
func MustAddrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// ErrText is empty for nil.
func ErrText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ProblemTexts prints problems, sorted.
func ProblemTexts(ps []objects.Problem) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

// Endpoints reads a list such as "a1 b2/draining c3/z1/nb": endpoint 2 of node-b
// (10.244.2.2), and so on. What stands behind a slash is a state, a zone hint
// or a node hint.
func Endpoints(t *testing.T, spec string) []objects.Endpoint {
	t.Helper()
	var out []objects.Endpoint
	for word := range strings.FieldsSeq(spec) {
		name, rest, _ := strings.Cut(word, "/")
		var id byte
		if _, err := fmt.Sscanf(name[1:], "%d", &id); err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		ep := objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 244, name[0] - 'a' + 1, id}), Ready: true, Serving: true}
		if name[0] != '-' {
			ep.Node = objects.NameOf("node-" + name[:1])
		} else {
			ep.Addr = netip.AddrFrom4([4]byte{10, 244, 0, id})
		}
		for _, opt := range strings.FieldsFunc(rest, func(r rune) bool { return r == '/' }) {
			switch {
			case opt == "draining":
				ep.Ready, ep.Terminating = false, true
			case opt == "gone":
				ep.Ready, ep.Serving, ep.Terminating = false, false, true
			case opt == "unready":
				ep.Ready, ep.Serving = false, false
			case opt == "serving": // neither ready nor terminating
				ep.Ready = false
			case opt[0] == 'z':
				ep.ForZones = objects.NamesOf(append(ep.ForZones.List(), opt)...)
			case opt[0] == 'n':
				ep.ForNodes = objects.NamesOf(append(ep.ForNodes.List(), "node-"+opt[1:])...)
			default:
				t.Fatalf("%q: what is %q?", word, opt)
			}
		}
		out = append(out, ep)
	}
	return out
}

// WebService has every kind of frontend in IPv4.
func WebService() *objects.Service {
	return &objects.Service{
		Key:             types.NamespacedName{Namespace: "default", Name: "web"},
		ClusterIPs:      []netip.Addr{netip.MustParseAddr("10.96.0.10")},
		ExternalIPs:     []netip.Addr{netip.MustParseAddr("198.51.100.1")},
		LoadBalancerIPs: []netip.Addr{netip.MustParseAddr("203.0.113.1")},
		Ports:           []objects.ServicePort{{Name: "http", Proto: inet.TCP, Port: 80, NodePort: 30080}},
	}
}

// SlicesOf returns one slice of port http with these endpoints, see Endpoints.
func SlicesOf(t *testing.T, eps string) []*objects.Slice {
	t.Helper()
	return []*objects.Slice{{Ports: []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: 8080}}, Endpoints: Endpoints(t, eps)}}
}

// BenchSlice returns the slice of Service number n, with many endpoints.
func BenchSlice(n, endpoints int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("svc-%d-abcde", n),
			Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("svc-%d", n)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for i := range endpoints {
		id := n*endpoints + i
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", 1+id>>16, id>>8&255, id&255)},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			NodeName:   new(fmt.Sprintf("node-%d", id%100)),
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("svc-%d-7d4b9c6f5-%05d", n, i), UID: "0b6a2c1e-0000-4000-8000-000000000000"},
		})
	}
	return s
}

// BenchService returns Service number n.
func BenchService(n int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("svc-%d", n)},
		Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", n>>8, n&255),
			Ports:     []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
}

// Eventually waits until ok, or fails the test.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a loaded machine, with the race detector
	defer cancel()
	if !worker.Await(ctx, 2*time.Millisecond, ok) {
		t.Fatalf("not within a minute: %s", what)
	}
}

// NameOf returns the name of an object in the namespace default.
func NameOf(s string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: s}
}

// Scrape returns all counters and gauges, sorted.
func Scrape(t *testing.T, registry metrics.Gatherer) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var s strings.Builder
			s.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				s.WriteString(" " + l.GetName() + "=" + l.GetValue())
			}
			out = append(out, fmt.Sprint(s.String(), " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	slices.Sort(out)
	return out
}

// Connections gathers the series by the values of their labels.
func Connections(t *testing.T, from metrics.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "fairlead_backend_connections_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			out[labels["namespace"]+" "+labels["name"]+" "+labels["port"]+" "+labels["endpoint"]] = m.GetCounter().GetValue()
		}
	}
	return out
}
