// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

func benchObjects(n, endpoints int) (*objects.Service, *objects.Slice) {
	key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("service-%d", n)}
	svc := &objects.Service{
		Key:        key,
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)})},
		Ports:      []objects.ServicePort{{Name: "http", Proto: inet.TCP, Port: 80}},
	}
	s := &objects.Slice{Key: types.NamespacedName{Namespace: "default", Name: key.Name + "-1"}, Service: key,
		Ports: []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: 8080}}}
	for i := range endpoints {
		id := n*endpoints + i
		s.Endpoints = append(s.Endpoints, objects.Endpoint{
			Addr: netip.AddrFrom4([4]byte{10, 128 + byte(id>>16), byte(id >> 8), byte(id)}), Ready: true, Serving: true,
			Node: objects.NameOf(fmt.Sprint("node-", i)),
		})
	}
	return svc, s
}

// BenchmarkResolve is the pure part of a change of one Service.
func BenchmarkResolve(b *testing.B) {
	for _, endpoints := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("endpoints=%d", endpoints), func(b *testing.B) {
			svc, slice := benchObjects(1, endpoints)
			self := &resolve.Self{Name: "node-1"}
			b.ReportAllocs()
			for b.Loop() {
				if got, _ := resolve.Resolve(svc, []*objects.Slice{slice}, self, nil); len(got) != 1 {
					b.Fatalf("%d frontends, want 1", len(got))
				}
			}
		})
	}
}

func benchWorld(b *testing.B, services int) *world {
	b.Helper()
	nstest.Need(b)
	w, err := newWorld()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.close)
	w.store.Update(func(tx *store.Tx) {
		for n := range services {
			svc, slice := benchObjects(n, 10)
			tx.SetService(svc)
			tx.SetSlice(slice)
		}
	})
	if _, err := w.sync(); err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkNoChange is an event that says what was known already. The kernel
// must not be asked for anything.
func BenchmarkNoChange(b *testing.B) {
	w := benchWorld(b, 1000)
	loads := w.table.loads.Load()
	b.ReportAllocs()
	for b.Loop() {
		_, slice := benchObjects(7, 10)
		w.store.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
		ops, err := w.sync()
		if err != nil || ops != "" || w.table.loads.Load() != loads {
			b.Fatalf("not a no-op: %v\n%s", err, ops)
		}
	}
}

// BenchmarkEvent is one endpoint more or less, from the slice to the kernel's
// acknowledgement.
func BenchmarkEvent(b *testing.B) {
	for _, services := range []int{100, 10000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			w := benchWorld(b, services)
			_, full := benchObjects(7, 10)
			_, less := benchObjects(7, 10)
			less.Endpoints = less.Endpoints[:9]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := *full
				if i%2 == 0 {
					s = *less
				}
				w.store.Update(func(tx *store.Tx) { tx.SetSlice(&s) })
				if ops, err := w.sync(); err != nil || ops == "" {
					b.Fatalf("no operation: %v", err)
				}
			}
		})
	}
}

// BenchmarkManyFrontends resolves a Service of 100 ports, 100 external IPs and 10
// endpoints, and tells the plan: what its owner's change costs, and what it keeps.
func BenchmarkManyFrontends(b *testing.B) {
	svc := &objects.Service{
		Key: types.NamespacedName{Namespace: "default", Name: "many"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")},
	}
	slice := &objects.Slice{Key: svc.Key, Service: svc.Key}
	for i := range byte(100) {
		svc.ExternalIPs = append(svc.ExternalIPs, netip.AddrFrom4([4]byte{198, 51, 100, i}))
		port := uint16(1000) + uint16(i)
		svc.Ports = append(svc.Ports, objects.ServicePort{Name: fmt.Sprint("p", i), Proto: inet.TCP, Port: port})
		slice.Ports = append(slice.Ports, objects.SlicePort{Name: fmt.Sprint("p", i), Proto: inet.TCP, Port: port})
	}
	for i := range byte(10) {
		slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 244, 1, i}), Ready: true, Serving: true, Node: objects.NameOf("node-b")})
	}
	b.ReportAllocs()
	var kept int64
	for b.Loop() {
		st := store.New()
		st.Update(func(tx *store.Tx) { tx.SetService(svc); tx.SetSlice(slice) })
		before := heap()
		cfg := testConfig()
		d := newDesired(&cfg, st)
		d.update()
		kept = heap() - before
		if d.claims.Size() != 10_100 {
			b.Fatalf("%d frontends, want 10100", d.claims.Size())
		}
	}
	b.ReportMetric(float64(kept)/(1<<20), "MiB-kept")
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
