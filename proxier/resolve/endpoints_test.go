// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// names is the way back, without the options.
func names(ts []target) string {
	var out []string
	for _, ep := range ts {
		ip := ep.Addr.As4()
		node := "-"
		if ep.Node != (objects.Name{}) {
			node = strings.TrimPrefix(ep.Node.String(), "node-")
		}
		out = append(out, fmt.Sprint(node, ip[3]))
	}
	return strings.Join(out, " ")
}

// TestChoose follows kube-proxy's topology_test.go, row by row. This node is
// node-a in zone z1.
func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		name, eps      string
		cluster, local string
		any            bool
		fallback       string
	}{
		{name: "no endpoints"},
		{name: "ready", eps: "a1 b2", cluster: "a1 b2", local: "a1", any: true},
		{name: "none here", eps: "b1 c2", cluster: "b1 c2", any: true},
		{name: "no node name is not here", eps: "-1 b2", cluster: "-1 b2", any: true},
		{name: "unready is unusable", eps: "a1/unready b2", cluster: "b2", any: true},
		{name: "all unready", eps: "a1/unready b2/unready"},
		{name: "serving but neither ready nor terminating is unusable", eps: "a1/serving b2/serving"},
		{name: "terminating but not serving is unusable", eps: "a1/gone b2/gone"},
		{name: "ready before draining", eps: "a1 a2/draining b3/draining", cluster: "a1", local: "a1", any: true},
		{name: "only draining", eps: "a1/draining b2/draining b3/gone", cluster: "a1 b2", local: "a1", any: true},
		{name: "local falls back by itself", eps: "a1/draining b2", cluster: "b2", local: "a1", any: true},
		{name: "cluster does not, while a ready one is elsewhere", eps: "a1/draining a2/gone b3 c4/draining", cluster: "b3", local: "a1", any: true},
		{name: "only draining, all elsewhere", eps: "b1/draining", cluster: "b1", any: true},

		{name: "zone hints", eps: "a1/z1 b2/z1 c3/z2", cluster: "a1 b2", local: "a1", any: true},
		{name: "several zones in a hint", eps: "a1/z2 b2/z1/z2", cluster: "b2", local: "a1", any: true},
		{name: "zone hints of ready endpoints only", eps: "a1/z1 b2/unready c3/z2", cluster: "a1", local: "a1", any: true},
		{name: "a zone hint is missing", eps: "a1/z1 b2 c3/z2", cluster: "a1 b2 c3", local: "a1", any: true, fallback: "zone: an endpoint has no hint: 10.244.2.2:80"},
		{name: "hints for other zones", eps: "a1/z2 b2/z3", cluster: "a1 b2", local: "a1", any: true, fallback: "zone: no endpoint is hinted for this node or zone"},
		{name: "the hinted one is not ready", eps: "a1/z2 b2/z1/unready", cluster: "a1", local: "a1", any: true, fallback: "zone: no endpoint is hinted for this node or zone"},
		{name: "draining ones are taken without hints", eps: "b1/draining/z1 c2/draining/z2", cluster: "b1 c2", any: true},
		{name: "local ignores hints", eps: "a1/z2 b2/z1", cluster: "b2", local: "a1", any: true},

		{name: "node hints", eps: "a1/na/z1 b2/nb/z1", cluster: "a1", local: "a1", any: true},
		{name: "node hints go before zone hints", eps: "a1/z1/nb b2/z2/na", cluster: "b2", local: "a1", any: true},
		{name: "hints for other nodes: zone", eps: "b1/nb/z1 c2/nc/z2", cluster: "b1", any: true, fallback: "node: no endpoint is hinted for this node or zone"},
		{name: "a node hint is missing: zone", eps: "a1/na/z1 b2/z1 c3/z2", cluster: "a1 b2", local: "a1", any: true, fallback: "node: an endpoint has no hint: 10.244.2.2:80"},
		{name: "hints for other nodes, no zones", eps: "b1/nb c2/nc", cluster: "b1 c2", any: true, fallback: "node: no endpoint is hinted for this node or zone"},
		{name: "a node hint is missing, no zones", eps: "a1/na b2", cluster: "a1 b2", local: "a1", any: true, fallback: "node: an endpoint has no hint: 10.244.2.2:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ts []target
			for _, ep := range proxiertest.Endpoints(t, tt.eps) {
				ts = append(ts, target{&ep, 80})
			}
			c := choose(ts, &Self{Name: "node-a", Zone: "z1"}, nil)
			if names(c.cluster) != tt.cluster || names(c.local) != tt.local || c.any != tt.any || c.fallback.String() != tt.fallback {
				t.Errorf("cluster [%s] local [%s] any %v fallback %q, want cluster [%s] local [%s] any %v fallback %q",
					names(c.cluster), names(c.local), c.any, c.fallback, tt.cluster, tt.local, tt.any, tt.fallback)
			}
		})
	}
}

// TestChooseZoneless is a node without the zone label: hints for no zone match.
func TestChooseZoneless(t *testing.T) {
	var ts []target
	for _, ep := range proxiertest.Endpoints(t, "a1/z1 b2/z2") {
		ts = append(ts, target{&ep, 80})
	}
	c := choose(ts, &Self{Name: "node-a"}, nil)
	if names(c.cluster) != "a1 b2" || c.fallback.String() != "zone: this node has no zone label" {
		t.Errorf("cluster [%s], fallback %q", names(c.cluster), c.fallback)
	}
}

// TestEndpointsOf merges slices: of an address that two of them have, the more
// useful statement counts, whatever the order.
func TestEndpointsOf(t *testing.T) {
	slice := func(v6 bool, port objects.SlicePort, eps string) *objects.Slice {
		return &objects.Slice{IPv6: v6, Ports: []objects.SlicePort{port}, Endpoints: proxiertest.Endpoints(t, eps)}
	}
	http := objects.SlicePort{Name: "http", Proto: inet.TCP, Port: 8080}
	for _, tt := range []struct {
		name   string
		slices []*objects.Slice
		want   []string
	}{
		{name: "no slices"},
		{name: "no endpoints", slices: []*objects.Slice{slice(false, http, "")}},
		{name: "two slices", slices: []*objects.Slice{slice(false, http, "a1"), slice(false, http, "b2")}, want: []string{"10.244.1.1:8080", "10.244.2.2:8080"}},
		{name: "twice", slices: []*objects.Slice{slice(false, http, "a1 b2"), slice(false, http, "b2 c3")},
			want: []string{"10.244.1.1:8080", "10.244.2.2:8080", "10.244.3.3:8080"}},
		{name: "ready wins", slices: []*objects.Slice{slice(false, http, "a1/unready b2"), slice(false, http, "a1 b2/draining")},
			want: []string{"10.244.1.1:8080", "10.244.2.2:8080"}},
		{name: "draining wins over unready", slices: []*objects.Slice{slice(false, http, "a1/unready"), slice(false, http, "a1/draining")},
			want: []string{"10.244.1.1:8080 draining"}},
		{name: "the same address, other ports", slices: []*objects.Slice{slice(false, http, "a1"), slice(false, objects.SlicePort{Name: "http", Proto: inet.TCP, Port: 8081}, "a1")},
			want: []string{"10.244.1.1:8080", "10.244.1.1:8081"}},
		{name: "other name, protocol, family", slices: []*objects.Slice{
			slice(false, objects.SlicePort{Name: "https", Proto: inet.TCP, Port: 8443}, "a1"), slice(false, objects.SlicePort{Name: "http", Proto: inet.UDP, Port: 8080}, "a1"), slice(true, http, "a1"),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			targets, _ := endpointsOf(tt.slices, &objects.ServicePort{Name: "http", Proto: inet.TCP, Port: 80}, false, &Self{Name: "node-a"}, nil)
			for _, ep := range targets {
				s := ep.backend().String()
				if !ep.Ready {
					s += " draining"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEndpointsOfLocalWins has two slices disagree about the node.
func TestEndpointsOfLocalWins(t *testing.T) {
	port := objects.SlicePort{Name: "http", Proto: inet.TCP, Port: 8080}
	there := proxiertest.Endpoints(t, "a1")
	there[0].Node = objects.NameOf("node-b")
	slices := []*objects.Slice{
		{Ports: []objects.SlicePort{port}, Endpoints: there},
		{Ports: []objects.SlicePort{port}, Endpoints: proxiertest.Endpoints(t, "a1")},
	}
	for range 2 {
		self := &Self{Name: "node-a"}
		eps, _ := endpointsOf(slices, &objects.ServicePort{Name: "http", Proto: inet.TCP}, false, self, nil)
		if c := choose(eps, self, nil); names(c.local) != "a1" || len(c.cluster) != 1 {
			t.Errorf("local [%s] cluster [%s], want a1 in both", names(c.local), names(c.cluster))
		}
		slices[0], slices[1] = slices[1], slices[0]
	}
}
