// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// largeKey is the Service with many endpoints.
func largeKey() types.NamespacedName { return types.NamespacedName{Namespace: "large", Name: "s0"} }

// adjust changes one property of objects that are there, so that most of a Service stays as it is:
// endpoints that go and come, a policy that changes while there are none, some endpoints of many.
func (s *interleaved) adjust(what int) {
	which := s.next()
	key := s.key(which)
	if which&64 > 0 {
		key = largeKey()
	}
	svc, list := s.store.Service(key), s.store.Slices(key)
	if svc != nil {
		copied := *svc
		copied.Ports = slices.Clone(svc.Ports)
		svc = &copied
	}
	for i := range list {
		copied := *list[i]
		copied.Endpoints = slices.Clone(copied.Endpoints)
		list[i] = &copied
	}
	s.store.Update(func(tx *store.Tx) {
		switch what -= firstAdjust; {
		case what < 3 && svc != nil:
			s.adjustService(tx, svc, what)
		case what == 3: // a cluster with many endpoints in several slices
			s.manySlices(tx)
		case what > 3 && len(list) > 0:
			s.adjustSlices(tx, list, what-4)
		}
	})
}

// adjustService changes a property and leaves the endpoints alone.
func (s *interleaved) adjustService(tx *store.Tx, svc *objects.Service, what int) {
	b := s.next()
	switch what {
	case 0:
		svc.Affinity = []time.Duration{0, time.Hour, 0, 2 * time.Hour}[b%4]
	case 1:
		svc.ExternalLocal, svc.InternalLocal = b&1 > 0, b&2 > 0
	case 2: // a port gets another name, so it has no endpoint until it gets its own name back
		p := &svc.Ports[b>>1%len(svc.Ports)]
		if p.Name = "renamed"; b&1 > 0 {
			p.Name = "a"
		}
	}
	tx.SetService(svc)
}

// adjustSlices changes endpoints of a Service.
func (s *interleaved) adjustSlices(tx *store.Tx, list []*objects.Slice, what int) {
	b := s.next()
	one := list[b%len(list)]
	switch what {
	case 0, 1: // those of all slices, or of one family, go and come by their conditions
		for _, slice := range list {
			if b&8 > 0 && slice.IPv6 != (b&16 > 0) {
				continue
			}
			for i := range slice.Endpoints {
				ep := &slice.Endpoints[i]
				if b&32 > 0 { // publishNotReadyAddresses goes on or off
					ep.Ready = b&1 > 0 || ep.Serving && !ep.Terminating
					continue
				}
				ep.Ready, ep.Serving, ep.Terminating = b&1 > 0, b&3 > 0, b&4 > 0 && b&1 == 0
			}
			tx.SetSlice(slice)
		}
	case 2: // one slice is empty
		one.Endpoints = nil
		tx.SetSlice(one)
	case 3: // a few endpoints
		for range min(1+b>>4%4, len(one.Endpoints)) {
			ep := &one.Endpoints[s.next()%len(one.Endpoints)]
			switch c := s.next(); c % 6 {
			case 0: // an address that is there already
				if from := list[0]; from.IPv6 == one.IPv6 && len(from.Endpoints) > 0 {
					ep.Addr = from.Endpoints[0].Addr
				}
			case 1, 2:
				if !one.IPv6 {
					ep.Addr = netip.AddrFrom4([4]byte{10, 242, byte(c >> 7), byte(c)})
				}
			case 3:
				s.condition(ep)
			case 4:
				ep.Node = objects.NameOf(nodeNames[c>>3%3])
			case 5:
				ep.Ready, ep.Serving, ep.Terminating = false, true, true
			}
		}
		tx.SetSlice(one)
	case 4: // a slice moves to another Service, or goes
		if b&1 > 0 {
			tx.DeleteSlice(one.Key)
			return
		}
		one.Service = types.NamespacedName{Namespace: one.Service.Namespace, Name: fmt.Sprintf("s%d", b>>1%3)}
		tx.SetSlice(one)
	}
}

// manySlices gives the large Service some more slices of up to 100 endpoints, so that it becomes one that is kept.
func (s *interleaved) manySlices(tx *store.Tx) {
	key := largeKey()
	b := s.next()
	for i := range 1 + b%4 {
		slice := &objects.Slice{
			Key: types.NamespacedName{Namespace: key.Namespace, Name: fmt.Sprint("many-", i)}, Service: key,
			Ports: []objects.SlicePort{
				{Name: "a", Proto: inet.TCP, Port: 8080}, {Name: "b", Proto: inet.UDP, Port: 53}, {Name: "c", Proto: inet.SCTP, Port: 53},
			}[:1+b>>2%3],
		}
		for n := range 40 + 20*(b>>4%4) {
			slice.Endpoints = append(slice.Endpoints, objects.Endpoint{
				Addr: netip.AddrFrom4([4]byte{10, 241, byte(i), byte(n)}), Node: objects.NameOf(nodeNames[n%3]), Ready: true, Serving: true,
			})
		}
		tx.SetSlice(slice)
	}
}
