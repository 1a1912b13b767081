// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// attack is what one tenant does while others change endpoints. Each call of step makes
// one of its writes; it makes them one after the other, as fast as pause allows.
type attack struct {
	name  string
	pause time.Duration
	step  func(s *store.Store, i int)
}

func attacks() []attack {
	return []attack{
		{"nothing", time.Second, func(*store.Store, int) {}},
		{"ranges", 300 * time.Millisecond, putRanges},
		{"services", 0, putOneOfMany},
		{"endpoints", 10 * time.Millisecond, churnEndpoint},
		{"claims", 10 * time.Millisecond, contestClaim},
		{"frontends", 300 * time.Millisecond, putFrontends},
		{"endpoints of a huge Service", 10 * time.Millisecond, churnHuge},
	}
}

// BenchmarkFairness measures how long endpoint changes of others take from the store to the
// kernel's acknowledgement while one tenant does its worst. Use -benchtime=1000x: an
// operation is one such change, and they are 5 ms apart.
func BenchmarkFairness(b *testing.B) {
	for _, a := range attacks() {
		b.Run(a.name, func(b *testing.B) {
			w := benchWorld(b, 1000)
			prepare(w.store)
			table := &stopwatch{Table: w.table, want: make(chan ruleset.Element, 1), seen: make(chan struct{}, 1)}
			w.p = New(w.cfg, w.store, Deps{Table: table, Metrics: w.p.metrics})
			ctx, cancel := context.WithCancel(klog.NewContext(b.Context(), klog.Logger{}))
			var wg sync.WaitGroup
			wg.Go(func() { _ = w.p.Run(ctx) })
			wg.Go(func() { a.run(ctx, w.store) })
			var took []time.Duration
			table.change(b, w.store, 0) // waits for the start
			b.ResetTimer()
			for i := range b.N {
				took = append(took, table.change(b, w.store, i+1))
				b.StopTimer()
				pauseFor(ctx, 5*time.Millisecond)
				b.StartTimer()
			}
			b.StopTimer()
			cancel()
			wg.Wait()
			slices.Sort(took)
			at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1e3 }
			b.ReportMetric(at(0.5), "p50-ms")
			b.ReportMetric(at(0.99), "p99-ms")
			b.ReportMetric(at(1), "max-ms")
		})
	}
}

func (a *attack) run(ctx context.Context, s *store.Store) {
	for i := 0; ctx.Err() == nil; i++ {
		a.step(s, i)
		pauseFor(ctx, a.pause)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// stopwatch is a table that says when the kernel has an element.
type stopwatch struct {
	Table
	want chan ruleset.Element
	seen chan struct{}
	next *ruleset.Element
}

func (s *stopwatch) Commit(ctx context.Context, batch ruleset.Batch) error {
	err := s.Table.Commit(ctx, batch)
	if s.next == nil {
		select {
		case e := <-s.want:
			s.next = &e
		default:
		}
	}
	for i := range batch {
		if e := &batch[i].Element; err == nil && s.next != nil && batch[i].Verb == ruleset.AddElement && e.Key == s.next.Key && e.Data == s.next.Data {
			s.next = nil
			s.seen <- struct{}{}
			break
		}
	}
	return err
}

// change replaces an endpoint of one of the other tenants' Services and returns after how
// long the kernel has it.
func (s *stopwatch) change(b *testing.B, st *store.Store, i int) time.Duration {
	b.Helper()
	n := i % 100 * 10
	svc, slice := benchObjects(n, 10)
	slice.Endpoints[3].Addr = netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
	s.want <- ruleset.Element{Key: inet.Addr{IP: svc.ClusterIPs[0], Port: 80, Proto: inet.TCP}, Data: netip.AddrPortFrom(slice.Endpoints[3].Addr, 8080)}
	start := time.Now()
	st.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
	select {
	case <-s.seen:
	case <-time.After(time.Minute):
		b.Fatal("a change of another tenant is not in the kernel after a minute")
	}
	return time.Since(start)
}

func evilKey(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "evil", Name: fmt.Sprintf("service-%05d", i)}
}

func evilService(i int) *objects.Service {
	return &objects.Service{
		Key: evilKey(i), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)})},
		Ports: []objects.ServicePort{{Name: "http", Proto: inet.TCP, Port: 80}},
	}
}

func evilSlice(i, endpoints int) *objects.Slice {
	s := &objects.Slice{Key: evilKey(i), Service: evilKey(i), Ports: []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: 8080}}}
	for n := range endpoints {
		s.Endpoints = append(s.Endpoints, objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 201, byte(n >> 8), byte(n)}), Ready: true, Serving: true, Node: objects.NameOf("node-b")})
	}
	return s
}

// prepare puts in what the attacks change.
func prepare(s *store.Store) {
	s.Update(func(tx *store.Tx) { tx.SetService(evilService(0)); tx.SetSlice(evilSlice(0, 10)) })
}

// manyPorts gives Service 0 of the tenant many ports.
func manyPorts(ports int) (*objects.Service, *objects.Slice) {
	svc, slice := evilService(0), evilSlice(0, 10)
	svc.Ports, slice.Ports = nil, nil
	for i := range ports {
		p := objects.ServicePort{Name: fmt.Sprint("p", i), Proto: inet.TCP, Port: 1000 + uint16(i)}
		svc.Ports = append(svc.Ports, p)
		slice.Ports = append(slice.Ports, objects.SlicePort{Name: p.Name, Proto: p.Proto, Port: p.Port})
	}
	return svc, slice
}

// putRanges gives a Service of 100 ports 1,000 source ranges, and takes them away again.
func putRanges(s *store.Store, i int) {
	svc, slice := manyPorts(100)
	svc.LoadBalancerIPs = []netip.Addr{netip.MustParseAddr("203.0.113.7")}
	if svc.Restricted = i%2 == 0; svc.Restricted {
		for n := range 1000 {
			svc.SourceRanges = append(svc.SourceRanges, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(n >> 7), byte(n << 1), 0}), 24))
		}
	}
	s.Update(func(tx *store.Tx) { tx.SetService(svc); tx.SetSlice(slice) })
}

// putFrontends gives a Service of 300 ports 1,000 external IPs, and takes them away again.
func putFrontends(s *store.Store, i int) {
	svc, slice := manyPorts(300)
	for n := range 1000 * (1 - i%2) {
		svc.ExternalIPs = append(svc.ExternalIPs, netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}))
	}
	s.Update(func(tx *store.Tx) { tx.SetService(svc); tx.SetSlice(slice) })
}

// putOneOfMany creates one of 10,000 Services with 10 endpoints, and then deletes them.
func putOneOfMany(s *store.Store, i int) {
	n := i % 10_000
	s.Update(func(tx *store.Tx) {
		if i/10_000%2 == 0 {
			tx.SetService(evilService(n))
			tx.SetSlice(evilSlice(n, 10))
		} else {
			tx.DeleteService(evilKey(n))
			tx.DeleteSlice(evilKey(n))
		}
	})
}

// churnEndpoint adds an endpoint, and takes it away again.
func churnEndpoint(s *store.Store, i int) {
	slice := evilSlice(0, 10+i%2)
	s.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
}

// churnHuge does the same to a Service of 65,535 endpoints.
func churnHuge(s *store.Store, i int) {
	slice := evilSlice(0, 65_535-i%2)
	s.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
}

// contestClaim makes 10,000 Services claim one external IP, and then changes one of them
// after the other.
func contestClaim(s *store.Store, i int) {
	put := func(tx *store.Tx, n, generation int) {
		svc := evilService(n)
		svc.ExternalIPs = []netip.Addr{netip.MustParseAddr("198.51.100.99"), netip.AddrFrom4([4]byte{198, 51, 100, byte(generation % 50)})}
		tx.SetService(svc)
	}
	s.Update(func(tx *store.Tx) {
		if i == 0 {
			for n := range 10_000 {
				put(tx, n, 0)
			}
		}
		put(tx, i%10_000, i)
	})
}
