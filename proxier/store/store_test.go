// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// poked takes a wake-up, if there is one.
func poked(s *Store) bool {
	select {
	case <-s.Poked():
		return true
	default:
		return false
	}
}

func oneSlice(key, service, node string) *objects.Slice {
	return &objects.Slice{Key: proxiertest.NameOf(key), Service: proxiertest.NameOf(service), Endpoints: []objects.Endpoint{{Addr: proxiertest.MustAddrs("10.244.0.1")[0], Node: objects.NameOf(node), Ready: true}}}
}

// TestStoreDirty makes one change after another and checks which objects are dirty.
func TestStoreDirty(t *testing.T) {
	services := func(list ...string) Dirty {
		var d Dirty
		for _, s := range list {
			d.Services = append(d.Services, proxiertest.NameOf(s))
		}
		return d
	}
	s := New()
	for _, step := range []struct {
		name   string
		change func(*Tx)
		want   Dirty
	}{
		{"new service", func(tx *Tx) {
			tx.SetService(&objects.Service{Key: proxiertest.NameOf("a"), ClusterIPs: proxiertest.MustAddrs("10.96.0.1")})
		}, services("a")},
		{"same service", func(tx *Tx) {
			tx.SetService(&objects.Service{Key: proxiertest.NameOf("a"), ClusterIPs: proxiertest.MustAddrs("10.96.0.1")})
		}, Dirty{}},
		{"other address", func(tx *Tx) {
			tx.SetService(&objects.Service{Key: proxiertest.NameOf("a"), ClusterIPs: proxiertest.MustAddrs("10.96.0.2")})
		}, services("a")},
		{"new slice", func(tx *Tx) { tx.SetSlice(oneSlice("a-1", "a", "n")) }, services("a")},
		{"same slice", func(tx *Tx) { tx.SetSlice(oneSlice("a-1", "a", "n")) }, Dirty{}},
		{"same slice, triggered again", func(tx *Tx) {
			again := oneSlice("a-1", "a", "n")
			again.Changed = time.Unix(1, 0)
			tx.SetSlice(again)
		}, Dirty{}},
		{"other node", func(tx *Tx) { tx.SetSlice(oneSlice("a-1", "a", "m")) }, services("a")},
		{"slice moves", func(tx *Tx) { tx.SetSlice(oneSlice("a-1", "b", "m")) }, services("a", "b")},
		{"slice goes", func(tx *Tx) { tx.DeleteSlice(proxiertest.NameOf("a-1")) }, services("b")},
		{"gone already", func(tx *Tx) { tx.DeleteSlice(proxiertest.NameOf("a-1")); tx.DeleteService(proxiertest.NameOf("b")) }, Dirty{}},
		{"several at once", func(tx *Tx) {
			tx.SetService(&objects.Service{Key: proxiertest.NameOf("c")})
			tx.SetService(&objects.Service{Key: proxiertest.NameOf("b")})
			tx.SetSlice(oneSlice("c-1", "c", "n"))
			tx.SetSlice(oneSlice("c-1", "c", "m"))
			tx.DeleteService(proxiertest.NameOf("a"))
		}, services("c", "b", "a")},
		{"node", func(tx *Tx) { tx.SetNode(&objects.Node{Name: "n"}) }, Dirty{Nodes: []string{"n"}}},
		{"same node", func(tx *Tx) { tx.SetNode(&objects.Node{Name: "n"}) }, Dirty{}},
		{"node goes", func(tx *Tx) { tx.DeleteNode("n") }, Dirty{Nodes: []string{"n"}}},
		{"node is gone", func(tx *Tx) { tx.DeleteNode("n") }, Dirty{}},
		{"service CIDR", func(tx *Tx) { tx.SetServiceCIDR(&objects.ServiceCIDR{Name: "k"}) }, Dirty{Cluster: true}},
		{"same service CIDR", func(tx *Tx) { tx.SetServiceCIDR(&objects.ServiceCIDR{Name: "k"}) }, Dirty{}},
		{"service CIDR goes", func(tx *Tx) { tx.DeleteServiceCIDR("k") }, Dirty{Cluster: true}},
		{"pod", func(tx *Tx) { tx.SetPod(&objects.Pod{Key: proxiertest.NameOf("p")}) }, Dirty{Pods: []types.NamespacedName{proxiertest.NameOf("p")}}},
		{"same pod", func(tx *Tx) { tx.SetPod(&objects.Pod{Key: proxiertest.NameOf("p")}) }, Dirty{}},
		{"pod goes", func(tx *Tx) { tx.DeletePod(proxiertest.NameOf("p")) }, Dirty{Pods: []types.NamespacedName{proxiertest.NameOf("p")}}},
	} {
		s.Update(step.change)
		wantPoke := len(step.want.Services) > 0 || len(step.want.Nodes) > 0 || step.want.Cluster || len(step.want.Pods) > 0
		if got := poked(s); got != wantPoke {
			t.Errorf("%s: poked is %v, want %v", step.name, got, wantPoke)
		}
		if diff := cmp.Diff(step.want, s.TakeDirty(), proxiertest.Values); diff != "" {
			t.Errorf("%s: TakeDirty (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(Dirty{}, s.TakeDirty(), proxiertest.Values); diff != "" {
			t.Errorf("%s: a second TakeDirty is not empty:\n%s", step.name, diff)
		}
	}
}

// TestStoreSync checks that the store hands out nothing before every source has
// delivered.
func TestStoreSync(t *testing.T) {
	s := New()
	s.Expect("files")
	s.Expect("api")
	s.Update(func(tx *Tx) {
		tx.SetService(&objects.Service{Key: proxiertest.NameOf("a")})
		tx.SetNode(&objects.Node{Name: "n"})
	})
	if s.Synced() || poked(s) {
		t.Error("synced or poked before anything was delivered")
	}
	s.Delivered("files")
	if diff := cmp.Diff(Dirty{}, s.TakeDirty(), proxiertest.Values); s.Synced() || diff != "" {
		t.Errorf("synced, or dirty, while a source is missing:\n%s", diff)
	}
	poked(s)
	s.Delivered("api")
	if !s.Synced() || !poked(s) {
		t.Error("not synced, or not poked, after everything was delivered")
	}
	want := Dirty{Services: []types.NamespacedName{proxiertest.NameOf("a")}, Nodes: []string{"n"}}
	if diff := cmp.Diff(want, s.TakeDirty(), proxiertest.Values); diff != "" {
		t.Errorf("TakeDirty (-want +got):\n%s", diff)
	}
	s.Delivered("api") // once more, after a relist
	if !s.Synced() {
		t.Error("not synced any more")
	}
}

func TestStoreReads(t *testing.T) {
	s := New()
	s.Update(func(tx *Tx) {
		for _, key := range []string{"a-3", "a-1", "b-1", "a-2"} {
			tx.SetSlice(oneSlice(key, key[:1], "n"))
		}
		for _, n := range []string{"z", "x", "y"} {
			tx.SetNode(&objects.Node{Name: n})
			tx.SetServiceCIDR(&objects.ServiceCIDR{Name: n})
			tx.SetProblems(objects.KindNode, n, []objects.Problem{{Kind: objects.KindNode, Name: n, Field: "b"}, {Kind: objects.KindNode, Name: n, Field: "a"}})
		}
	})
	var got []string
	for _, slice := range s.Slices(proxiertest.NameOf("a")) {
		got = append(got, slice.Key.Name)
	}
	for _, n := range s.Nodes() {
		got = append(got, n.Name)
	}
	for _, c := range s.ServiceCIDRs() {
		got = append(got, c.Name)
	}
	for _, p := range s.book.Problems() {
		got = append(got, p.Name+p.Field)
	}
	want := "a-1 a-2 a-3 x y z x y z xa xb ya yb za zb"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if s.Service(proxiertest.NameOf("nobody")) != nil || s.Node("nobody") != nil || len(s.Slices(proxiertest.NameOf("nobody"))) > 0 {
		t.Error("there is an object that was never put in")
	}
}

// TestStoreAtomic: a reader never sees half of an update. It is for the race
// detector, too.
func TestStoreAtomic(t *testing.T) {
	s := New()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 200 {
				s.Update(func(tx *Tx) {
					tx.SetService(&objects.Service{Key: proxiertest.NameOf("a"), HealthCheckNodePort: uint16(w*1000 + i + 1)})
					tx.SetService(&objects.Service{Key: proxiertest.NameOf("b"), HealthCheckNodePort: uint16(w*1000 + i + 1)})
					tx.SetSlice(oneSlice(fmt.Sprintf("s-%d", w), "a", fmt.Sprint(i)))
				})
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		if d := s.TakeDirty(); len(d.Services) == 1 {
			t.Fatalf("one of two services is dirty: %v", d)
		}
		s.Slices(proxiertest.NameOf("a"))
		select {
		case <-done:
			return
		default:
		}
	}
}

// TestViews reads several Services at once; what is read stays as it was while others change it.
func TestViews(t *testing.T) {
	s := New()
	a, b := proxiertest.NameOf("a"), proxiertest.NameOf("b")
	s.Update(func(tx *Tx) {
		tx.SetService(&objects.Service{Key: a})
		tx.SetSlice(oneSlice("a-1", "a", "n"))
		tx.SetSlice(oneSlice("b-1", "b", "n"))
	})
	views := s.Views([]types.NamespacedName{b, a, proxiertest.NameOf("nobody")})
	s.Update(func(tx *Tx) {
		tx.SetSlice(oneSlice("a-0", "a", "n"))
		tx.DeleteSlice(proxiertest.NameOf("b-1"))
	})
	var got []string
	for _, v := range views {
		text := fmt.Sprint(v.Service != nil)
		for _, slice := range v.Slices(func(int) {}) {
			text += " " + slice.Key.Name
		}
		got = append(got, text)
	}
	if text := strings.Join(got, ", "); text != "false b-1, true a-1, false" {
		t.Errorf("views: %s", text)
	}
}

// TestIsDirty follows TakeDirty, and objects count only when all sources have delivered.
func TestIsDirty(t *testing.T) {
	st := New()
	put := func(n int) {
		st.Update(func(tx *Tx) {
			tx.SetNode(&objects.Node{Name: fmt.Sprint("node-", n)})
		})
	}
	want := func(when string, dirty bool) {
		t.Helper()
		if st.IsDirty() != dirty {
			t.Errorf("%s: IsDirty is %v", when, !dirty)
		}
	}
	want("empty", false)
	st.Expect("x")
	put(1)
	want("a source is late", false)
	st.Delivered("x")
	want("all are there", true)
	st.TakeDirty()
	want("taken", false)
	put(1)
	want("the same again", false)
	put(2)
	want("another one", true)
}
