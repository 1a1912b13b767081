// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// TestAdvance changes a few slices of a large Service again and again, by endpoints that come, go, move, occur
// twice and get other conditions, nodes and hints. What Advance says is what Resolve says.
func TestAdvance(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	advanced, resolved := 0, 0
	for range 60 {
		svc := &objects.Service{
			Key:        types.NamespacedName{Namespace: "default", Name: "web"},
			ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00:96::1")},
			Ports:      []objects.ServicePort{{Name: "a", Proto: inet.TCP, Port: 80, NodePort: 30080}, {Name: "b", Proto: inet.UDP, Port: 53}},
		}
		if r.IntN(2) == 0 {
			svc.ExternalIPs = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
		}
		facts := &ClusterFacts{Self: Self{Name: "node-a", Zone: "z"}, TunnelPort: 8472}
		var list []*objects.Slice
		for i := range 6 {
			s := &objects.Slice{Key: types.NamespacedName{Namespace: "default", Name: fmt.Sprint("web-", i)}, IPv6: i == 5, Ports: []objects.SlicePort{{Name: "a", Proto: inet.TCP, Port: 8080}}}
			if i%2 == 0 {
				s.Ports = append(s.Ports, objects.SlicePort{Name: "b", Proto: inet.UDP, Port: 5353})
			}
			for range 60 {
				s.Endpoints = append(s.Endpoints, randomEndpoint(r, s.IPv6))
			}
			list = append(list, s)
		}
		_, _, kept := Keep(svc, list, facts, nil)
		for range 40 {
			was, now, next := randomSlices(r, list)
			list = next
			want, problems, fresh := Keep(svc, list, facts, nil)
			if kept != nil {
				got, gotProblems, then, ok := kept.Advance(was, now, &facts.Self, nil)
				if ok {
					advanced++
					if diff := cmp.Diff(describeClaims(want), describeClaims(got)); diff != "" {
						t.Fatalf("claims (-resolved +advanced):\n%s", diff)
					}
					if diff := cmp.Diff(problems, gotProblems); diff != "" {
						t.Fatalf("problems (-resolved +advanced):\n%s", diff)
					}
					if fresh == nil && endpointsIn(list) >= leastKept {
						t.Fatal("Advance keeps a Service that has to be resolved")
					}
					fresh = then
				} else {
					resolved++
				}
			}
			kept = fresh
		}
	}
	t.Logf("%d advanced, %d resolved", advanced, resolved)
	if advanced < 300 || resolved < 50 {
		t.Errorf("%d changes were made by Advance and %d left to Resolve, want more", advanced, resolved)
	}
}

func endpointsIn(list []*objects.Slice) (n int) {
	for _, s := range list {
		n += len(s.Endpoints)
	}
	return n
}

// randomEndpoint seldom occurs twice.
func randomEndpoint(r *rand.Rand, v6 bool) objects.Endpoint {
	b := [4]byte{10, byte(r.IntN(10)), byte(r.IntN(256)), byte(r.IntN(256))}
	e := objects.Endpoint{Addr: netip.AddrFrom4(b), Ready: r.IntN(4) > 0}
	if v6 {
		e.Addr = netip.AddrFrom16([16]byte{0: 0xfd, 1: b[1], 14: b[2], 15: b[3]})
	}
	e.Serving, e.Terminating = e.Ready || r.IntN(2) == 0, !e.Ready && r.IntN(2) == 0
	if r.IntN(3) == 0 {
		e.Node = objects.NameOf("node-a")
	}
	return e
}

// randomSlices changes one or two slices.
func randomSlices(r *rand.Rand, list []*objects.Slice) (was, now, next []*objects.Slice) {
	next = slices.Clone(list)
	for _, i := range r.Perm(len(list))[:1+r.IntN(2)] {
		s := *list[i]
		s.Endpoints = slices.Clone(s.Endpoints)
		for range 1 + r.IntN(4) {
			at := r.IntN(len(s.Endpoints) + 1)
			switch n := r.IntN(60); {
			case n < 15 || at == len(s.Endpoints):
				s.Endpoints = slices.Insert(s.Endpoints, at, randomEndpoint(r, s.IPv6))
			case n < 30:
				s.Endpoints = slices.Delete(s.Endpoints, at, at+1)
			case n < 45:
				fresh := randomEndpoint(r, s.IPv6)
				fresh.Addr = s.Endpoints[at].Addr
				s.Endpoints[at] = fresh
			case n < 58:
				s.Endpoints[at] = randomEndpoint(r, s.IPv6)
			case n == 58:
				s.Endpoints[at].ForZones = objects.NamesOf("z")
			default: // it occurs in another slice
				if other := list[r.IntN(len(list))]; len(other.Endpoints) > 0 && other.IPv6 == s.IPv6 {
					s.Endpoints[at].Addr = other.Endpoints[r.IntN(len(other.Endpoints))].Addr
				}
			}
		}
		if r.IntN(30) == 0 {
			s.Endpoints = nil
		}
		was, now, next[i] = append(was, list[i]), append(now, &s), &s
	}
	return was, now, next
}

// describeClaims says all of claims.
func describeClaims(list []Claim) (out []string) {
	for _, c := range list {
		f := c.Frontend.Canonical(c.key)
		out = append(out, fmt.Sprintf("%v %v %v %+v serving %v existing %v", c.key, c.use, c.fallback, f, c.Serving.List(), c.Existing.List()))
	}
	return out
}
