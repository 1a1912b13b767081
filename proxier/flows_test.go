// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// told is a Flows that writes down what it is told.
type told []string

func (f *told) Set(a inet.Addr, serving, _ inet.AddrPorts) {
	*f = append(*f, fmt.Sprint("set ", a, " ", serving.List()))
}
func (f *told) Delete(a inet.Addr)                  { *f = append(*f, fmt.Sprint("delete ", a)) }
func (f *told) SweepAll(func(_, _ netip.Addr) bool) { *f = append(*f, "all") }
func (f *told) Loosen()                             { *f = append(*f, "loosen") }

// TestFlows tells about every protocol, after the commit only, and about endpoints
// that terminate but serve as well.
func TestFlows(t *testing.T) {
	nstest.Need(t)
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var got told
	w.p.flows = &got
	key := types.NamespacedName{Namespace: "default", Name: "dns"}
	svc := &objects.Service{Key: key, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}, Ports: []objects.ServicePort{
		{Name: "dns", Proto: inet.UDP, Port: 53}, {Name: "dns-tcp", Proto: inet.TCP, Port: 53},
	}}
	slice := func(eps ...objects.Endpoint) *objects.Slice {
		return &objects.Slice{Key: key, Service: key, Ports: []objects.SlicePort{{Name: "dns", Proto: inet.UDP, Port: 53}, {Name: "dns-tcp", Proto: inet.TCP, Port: 53}}, Endpoints: eps}
	}
	ready := objects.Endpoint{Addr: netip.MustParseAddr("10.244.0.1"), Ready: true, Serving: true}
	draining := objects.Endpoint{Addr: netip.MustParseAddr("10.244.0.2"), Serving: true, Terminating: true}
	gone := objects.Endpoint{Addr: netip.MustParseAddr("10.244.0.3"), Terminating: true}
	step := func(name string, fails bool, want []string, f func(*store.Tx)) {
		t.Helper()
		got = nil
		w.store.Update(f)
		if _, err := w.sync(); (err != nil) != fails {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, []string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	step("first sync", false, []string{"all", "loosen", "set 10.96.0.10:53/tcp [10.244.0.1:53 10.244.0.2:53]", "set 10.96.0.10:53/udp [10.244.0.1:53 10.244.0.2:53]"}, func(tx *store.Tx) {
		tx.SetService(svc)
		tx.SetSlice(slice(ready, draining, gone))
	})
	w.table.fault = 1
	step("failed commit", true, nil, func(tx *store.Tx) { tx.SetSlice(slice(draining)) })
	step("made up for", false, []string{"set 10.96.0.10:53/tcp [10.244.0.2:53]", "set 10.96.0.10:53/udp [10.244.0.2:53]"}, func(*store.Tx) {})
	step("Service removed", false, []string{"delete 10.96.0.10:53/tcp", "delete 10.96.0.10:53/udp"}, func(tx *store.Tx) { tx.DeleteService(key) })
}

// recall is a Clients that keeps what it is told.
type recall struct {
	pairs []nat.Pair
	keep  nat.Remembered
}

func (r *recall) Remove(pairs []nat.Pair)          { r.pairs = append(r.pairs, pairs...) }
func (r *recall) RemoveExcept(keep nat.Remembered) { r.keep = keep }

// TestClients tells about sticky Services whose endpoints go, and at the first
// sync about all that stay.
func TestClients(t *testing.T) {
	nstest.Need(t)
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var got recall
	w.p.clients = &got
	key := types.NamespacedName{Namespace: "default", Name: "web"}
	slice := func(ips ...string) *objects.Slice {
		s := &objects.Slice{Key: key, Service: key, Ports: []objects.SlicePort{{Name: "", Proto: inet.TCP, Port: 80}}}
		for _, ip := range ips {
			s.Endpoints = append(s.Endpoints, objects.Endpoint{Addr: netip.MustParseAddr(ip), Ready: true, Serving: true})
		}
		return s
	}
	step := func(fails bool, f func(*store.Tx)) {
		t.Helper()
		w.store.Update(f)
		if _, err := w.sync(); (err != nil) != fails {
			t.Fatal(err)
		}
	}
	step(false, func(tx *store.Tx) {
		tx.SetService(&objects.Service{Key: key, Affinity: time.Minute, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")},
			Ports: []objects.ServicePort{{Proto: inet.TCP, Port: 80}}})
		tx.SetSlice(slice("10.244.0.1", "10.244.0.2"))
	})
	frontend := inet.Addr{IP: netip.MustParseAddr("10.96.0.10"), Port: 80, Proto: inet.TCP}
	pair := func(b string) nat.Pair { return nat.Pair{Frontend: frontend, Backend: netip.MustParseAddrPort(b)} }
	for backend, want := range map[string]bool{"10.244.0.1:80": true, "10.244.0.2:80": true, "10.244.0.3:80": false} {
		if got.keep.Has(pair(backend)) != want {
			t.Errorf("clients of %s are kept: %v, want %v", backend, !want, want)
		}
	}
	got.keep = nil
	w.p.loaded = true // by a load of rules
	w.p.publishClients()
	if got.keep != nil || w.p.recheck == nil {
		t.Error("all clients are searched again at once")
	}
	w.p.searched = w.p.searched.Add(-searchPause)
	w.p.publishClients()
	if got.keep == nil || w.p.loaded {
		t.Error("the clients are not searched after the pause")
	}
	w.table.fault = 1
	step(true, func(tx *store.Tx) { tx.SetSlice(slice("10.244.0.2")) })
	if len(got.pairs) > 0 {
		t.Errorf("forgotten before the commit: %v", got.pairs)
	}
	step(false, func(*store.Tx) {})
	if want := []nat.Pair{pair("10.244.0.1:80")}; !slices.Equal(got.pairs, want) {
		t.Errorf("forgotten: %v, want %v", got.pairs, want)
	}
}

// TestSettledOnce changes endpoints again and again that the table does not need, while all
// commits fail. What the agent keeps of that does not grow.
func TestSettledOnce(t *testing.T) {
	w := newTestWorld(t)
	var got told
	w.p.flows = &got
	key := types.NamespacedName{Namespace: "default", Name: "dns"}
	svc := func(name string, ip string) *objects.Service {
		return &objects.Service{Key: types.NamespacedName{Namespace: "default", Name: name}, ClusterIPs: []netip.Addr{netip.MustParseAddr(ip)}, Ports: []objects.ServicePort{{Name: "dns", Proto: inet.UDP, Port: 53}}}
	}
	slice := func(serving bool) *objects.Slice {
		return &objects.Slice{Key: key, Service: key, Ports: []objects.SlicePort{{Name: "dns", Proto: inet.UDP, Port: 53}}, Endpoints: []objects.Endpoint{
			{Addr: netip.MustParseAddr("10.244.0.1"), Ready: true, Serving: true}, {Addr: netip.MustParseAddr("10.244.0.2"), Serving: serving, Terminating: true},
		}}
	}
	w.store.Update(func(tx *store.Tx) { tx.SetService(svc("dns", "10.96.0.10")); tx.SetSlice(slice(true)) })
	if _, err := w.sync(); err != nil {
		t.Fatal(err)
	}
	w.store.Update(func(tx *store.Tx) { tx.SetService(svc("other", "10.96.0.11")) })
	for i := range 50 {
		w.store.Update(func(tx *store.Tx) { tx.SetSlice(slice(i%2 == 1)) })
		w.table.fault = 2
		if _, err := w.sync(); err == nil {
			t.Fatal("the commit did not fail")
		}
	}
	if n := len(w.p.desired.settled); n != 1 {
		t.Errorf("%d frontends are kept, want 1", n)
	}
	got, w.table.fault = nil, 0
	if _, err := w.sync(); err != nil {
		t.Fatal(err)
	}
	if want := "set 10.96.0.10:53/udp [10.244.0.1:53 10.244.0.2:53]"; !slices.Contains(got, want) {
		t.Errorf("told %v, want %q", got, want)
	}
}
