// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

var contestedKey = inet.Addr{IP: netip.MustParseAddr("203.0.113.1"), Port: 80, Proto: inet.TCP}

// rival is a Service that claims contestedKey.
type rival struct {
	name string
	age  int
	use  use
	seen int
}

func (r rival) claim(c Claims) {
	f := nat.Frontend{Owner: "default/" + r.name, Backends: make([]nat.Backend, 2)}
	key := types.NamespacedName{Namespace: "default", Name: r.name}
	c.Set(key, &objects.Service{Key: key, Created: time.Unix(int64(1000-r.age), 0)},
		[]Claim{{key: contestedKey, Frontend: f, use: r.use}}, max(1, uint64(r.seen)), nil, nil)
}

func (r rival) drop(c Claims) []inet.Addr {
	return c.Set(types.NamespacedName{Namespace: "default", Name: r.name}, nil, nil, 1, nil, nil)
}

// TestClaims has Services come in every order and looks at who wins and what
// the losers are told.
func TestClaims(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rivals []rival // the winner first, then who takes over, and so on
		told   []string
	}{{
		name:   "older wins",
		rivals: []rival{{"z", 3, useExternalIP, 0}, {"m", 2, useExternalIP, 0}, {"a", 1, useExternalIP, 0}},
		told: []string{
			"Service default/a: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, which is older",
			"Service default/m: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, which is older",
		},
	}, {
		name:   "the age of the claim goes before that of the object",
		rivals: []rival{{"z", 1, useExternalIP, 2}, {"m", 2, useExternalIP, 3}, {"a", 3, useExternalIP, 4}},
		told: []string{
			"Service default/a: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, which claimed it first",
			"Service default/m: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, which claimed it first",
		},
	}, {
		name:   "a load balancer's address wins over external IPs that were there before",
		rivals: []rival{{"z", 1, useLoadBalancer, 9}, {"a", 3, useExternalIP, 2}},
		told: []string{
			"Service default/a: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, whose load balancer has it",
		},
	}, {
		name:   "then the name",
		rivals: []rival{{"a", 1, useExternalIP, 0}, {"b", 1, useExternalIP, 0}},
		told:   []string{"Service default/b: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/a, which is as old and comes first by name"},
	}, {
		name:   "a ClusterIP wins over older uses",
		rivals: []rival{{"z", 1, useClusterIP, 0}, {"b", 2, useLoadBalancer, 0}, {"a", 3, useExternalIP, 0}},
		told: []string{
			"Service default/a: spec.externalIPs: 203.0.113.1:80/tcp belongs to Service default/z, whose ClusterIP it is",
			"Service default/b: status.loadBalancer.ingress: 203.0.113.1:80/tcp belongs to Service default/z, whose ClusterIP it is",
		},
	}, {
		name:   "a ClusterIP twice",
		rivals: []rival{{"z", 2, useClusterIP, 0}, {"a", 1, useClusterIP, 0}},
		told:   []string{"Service default/a: spec.clusterIPs: 203.0.113.1:80/tcp belongs to Service default/z, which is older"},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				c := NewClaims()
				for _, i := range random.Perm(len(tt.rivals)) {
					tt.rivals[i].claim(c)
				}
				tt.rivals[random.IntN(len(tt.rivals))].claim(c) // an update changes nothing
				if diff := cmp.Diff(tt.told, proxiertest.ProblemTexts(allProblems(c))); diff != "" {
					t.Fatalf("problems (-want +got):\n%s", diff)
				}
				for i, r := range tt.rivals {
					if got := c.Owner(contestedKey).Value.Frontend.Owner; got != "default/"+r.name {
						t.Fatalf("owner %d is %s, want %s", i, got, r.name)
					}
					if c.Total != 2 {
						t.Fatalf("%d backends are served, want the owner's 2", c.Total)
					}
					if got := r.drop(c); !slices.Equal(got, []inet.Addr{contestedKey}) {
						t.Fatalf("affected: %v", got)
					}
				}
				if c.Owner(contestedKey) != nil || c.Total != 0 || len(c.byKey)+len(c.bySubject) > 0 {
					t.Fatalf("something is left: %+v", c)
				}
			}
		})
	}
}

// TestClaimsMove is a Service that gives one address up for another.
func TestClaimsMove(t *testing.T) {
	c := NewClaims()
	svc := types.NamespacedName{Namespace: "default", Name: "web"}
	at := func(n byte) []Claim {
		return []Claim{{key: inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, n}), Port: 80, Proto: inet.TCP}}}
	}
	c.Set(svc, &objects.Service{Key: svc}, at(1), 1, nil, nil)
	got := fmt.Sprint(c.Set(svc, &objects.Service{Key: svc}, at(2), 2, nil, nil))
	if want := "[10.96.0.1:80/tcp 10.96.0.2:80/tcp]"; got != want {
		t.Errorf("affected: %s, want %s", got, want)
	}
	if c.Owner(at(1)[0].key) != nil {
		t.Error("the old address is still claimed")
	}
}

// TestClaimsStale checks that a change concerns only those who win or lose by it.
func TestClaimsStale(t *testing.T) {
	c := NewClaims()
	for i, tt := range []struct {
		step func()
		want string
	}{
		{func() { rival{"a", 3, useExternalIP, 0}.claim(c) }, "[default/a]"},
		{func() { rival{"b", 1, useExternalIP, 0}.claim(c) }, "[default/b]"},
		{func() { rival{"c", 2, useExternalIP, 0}.claim(c) }, "[default/c]"},
		{func() { rival{"a", 3, useExternalIP, 0}.claim(c) }, "[default/a]"},
		{func() { rival{"b", 1, useExternalIP, 0}.drop(c) }, "[default/b]"},
		{func() { rival{"z", 4, useExternalIP, 0}.claim(c) }, "[default/a default/c default/z]"},
		{func() { rival{"z", 4, useExternalIP, 0}.drop(c) }, "[default/a default/c default/z]"},
	} {
		tt.step()
		if got := fmt.Sprint(c.TakeStale()); got != tt.want {
			t.Errorf("step %d: %s, want %s", i, got, tt.want)
		}
	}
}

func allProblems(c Claims) []objects.Problem {
	var out []objects.Problem
	for svc := range c.bySubject {
		out = append(out, c.Problems(svc)...)
	}
	return out
}

// TestClaimsIncumbent starts on a kernel in which the younger Service has the address:
// it keeps it, even if the other one is older. One that is created anew claims anew.
func TestClaimsIncumbent(t *testing.T) {
	c := NewClaims()
	key := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "default", Name: name} }
	set := func(name string, age int64, uid types.UID, seen uint64, holder string) {
		svc := &objects.Service{Key: key(name), UID: uid, Created: time.Unix(1000-age, 0)}
		list := []Claim{{key: contestedKey, Frontend: nat.Frontend{Owner: "default/" + name + ":http"}, use: useExternalIP}}
		c.Set(key(name), svc, list, seen, func(inet.Addr) string { return holder }, nil)
	}
	check := func(when, want string) {
		t.Helper()
		if got := c.Owner(contestedKey).Subject.Name; got != want {
			t.Errorf("%s: owner %s, want %s", when, got, want)
		}
	}
	set("old", 9, "1", 1, "default/young:web")
	set("young", 1, "2", 1, "default/young:web")
	check("found in the kernel", "young")
	set("young", 1, "2", 5, "")
	check("the same object again", "young")
	set("young", 1, "3", 6, "")
	check("created again", "old")
}

// BenchmarkContest changes one of many Services that claim one address.
func BenchmarkContest(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			c := NewClaims()
			set := func(i int, pass uint64) {
				key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%05d", i)}
				c.Set(key, &objects.Service{Key: key}, []Claim{{key: contestedKey, use: useExternalIP}}, pass, nil, nil)
			}
			for i := range n {
				set(i, 1)
			}
			c.TakeStale()
			b.ReportAllocs()
			pass := uint64(1)
			for b.Loop() {
				pass++
				key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%05d", n/2)}
				c.Set(key, nil, nil, pass, nil, nil)
				set(n/2, pass)
				for _, key := range c.TakeStale() {
					c.Problems(key)
				}
			}
		})
	}
}

// TestContestAgain has an object ask for a key again: as it did, it keeps the key; created
// again, with another creation time or UID, it stands behind the rival; with a higher class, too.
func TestContestAgain(t *testing.T) {
	const born = 1000
	first := rank{class: 1, seen: 1, created: born}
	for name, tt := range map[string]struct {
		again rank
		uid   types.UID
		keeps bool
	}{
		"the same":              {rank{class: 1, seen: 3, created: born}, "1", true},
		"another creation time": {rank{class: 1, seen: 3, created: born + 1000}, "1", false},
		"another UID":           {rank{class: 1, seen: 3, created: born}, "2", false},
		"another class":         {rank{class: 2, seen: 3, created: born}, "1", false},
	} {
		c := NewContest[string, int](nil)
		mine, rival := types.NamespacedName{Namespace: "d", Name: "mine"}, types.NamespacedName{Namespace: "d", Name: "rival"}
		c.Set(Subject{mine, "1"}, []Wish[string, int]{{first, "key", 1}})
		c.Set(Subject{rival, "9"}, []Wish[string, int]{{rank{class: 1, seen: 2, created: born}, "key", 2}})
		c.Set(Subject{mine, tt.uid}, []Wish[string, int]{{tt.again, "key", 3}})
		if owner := c.Owner("key"); owner == nil || (owner.Subject.NamespacedName == mine) != tt.keeps {
			t.Errorf("%s: the owner is %+v", name, owner)
		}
	}
}

// TestExpect: room for many objects is made before the first one only, so no claim is lost.
func TestExpect(t *testing.T) {
	c := NewClaims()
	c.Expect(5000)
	rival{name: "web", seen: 1}.claim(c)
	c.Expect(5000)
	if owner := c.Owner(contestedKey); owner == nil || owner.Subject.Name != "web" || c.Total != 2 || c.Stale() != 1 {
		t.Errorf("the owner is %+v of %d backends", owner, c.Total)
	}
}
