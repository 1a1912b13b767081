// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

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

// churnHuge does the same to a Service of 65,535 endpoints in 66 EndpointSlices, of which each
// has as many as the API server permits.
func churnHuge(s *store.Store, i int) {
	s.Update(func(tx *store.Tx) {
		if i == 0 {
			for part := range 65 {
				tx.SetSlice(hugeSlice(part, 1000, everyone))
			}
		}
		tx.SetSlice(hugeSlice(65, 535-i%2, everyone))
	})
}

// hugeSlice returns one of the 66 EndpointSlices, with those of its endpoints that keep wants.
func hugeSlice(part, endpoints int, keep func(id int) bool) *objects.Slice {
	slice := evilSlice(0, endpoints)
	slice.Key.Name = fmt.Sprint(slice.Key.Name, "-", part)
	left := slice.Endpoints[:0]
	for n, ep := range slice.Endpoints {
		if id := part*1000 + n; keep(id) {
			ep.Addr = netip.AddrFrom4([4]byte{10, 202, byte(id >> 8), byte(id)})
			left = append(left, ep)
		}
	}
	slice.Endpoints = left
	return slice
}

func everyone(int) bool { return true }

// removeFromHuge takes one endpoint out of the middle of the Service, 1,000 scattered ones, half of
// them or all, and puts them back each time.
func removeFromHuge(s *store.Store, i int, sticky time.Duration) {
	keep := everyone
	switch i % 8 {
	case 1:
		keep = func(id int) bool { return id != 30_000 }
	case 3:
		keep = func(id int) bool { return id%65 != 7 }
	case 5:
		keep = func(id int) bool { return id%2 == 0 }
	case 7:
		keep = func(int) bool { return false }
	}
	svc := evilService(0)
	svc.Affinity = sticky
	s.Update(func(tx *store.Tx) { tx.SetService(svc) })
	for part := range 66 {
		slice := hugeSlice(part, min(1000, 65_535-part*1000), keep)
		s.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
	}
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
