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
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

var nodeNames = []string{"node-a", "node-b", "node-c"}

// key names one of a few objects in two namespaces.
func (s *interleaved) key(which int) types.NamespacedName {
	return types.NamespacedName{Namespace: []string{"default", "other"}[which&1], Name: fmt.Sprintf("s%d", which>>1%3)}
}

// age returns a new UID and a time.
func (s *interleaved) age() (types.UID, time.Time) {
	s.born++
	return types.UID(fmt.Sprint("uid-", s.born)), time.Unix(s.born%5, 0)
}

// service has few addresses and ports, so that Services contest them.
func (s *interleaved) service(key types.NamespacedName) *objects.Service {
	a, b, c := s.next(), s.next(), s.next()
	svc := &objects.Service{Key: key, UID: types.UID(key.String()), Created: time.Unix(int64(len(key.Namespace)), 0)}
	if a&1 > 0 {
		svc.UID, svc.Created = s.age()
	}
	four, six := netip.AddrFrom4([4]byte{10, 96, 0, 1 + byte(b%4)}), proxiertest.MustAddrs("fd00:10:96::1", "fd00:10:96::2")[b>>2%2]
	svc.ClusterIPs = [][]netip.Addr{{four}, {six}, {four, six}, {six, four}}[a>>1%4]
	svc.Ports = []objects.ServicePort{
		{Name: "a", Proto: inet.TCP, Port: []uint16{80, 1, 65535, 443}[b>>3%4]},
		{Name: "b", Proto: inet.UDP, Port: 53, NodePort: []uint16{0, 30000, 30001, 8472}[b>>5%4]},
		{Name: "c", Proto: inet.SCTP, Port: 53, NodePort: []uint16{0, 30000, 65535}[b>>6%3]},
	}[:1+a>>3%3]
	svc.ExternalLocal, svc.InternalLocal = a&32 > 0, a&64 > 0
	if a&128 > 0 {
		svc.Affinity = time.Duration(1+c%3) * time.Hour
	}
	if c&4 > 0 {
		svc.ExternalIPs = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(c >> 3 % 4)}), four}
	}
	if c&32 > 0 {
		svc.LoadBalancerIPs = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(c >> 4 % 4)}), netip.MustParseAddr("2001:db8::1")}
		svc.Restricted = c&64 > 0
		svc.SourceRanges = proxiertest.MustPrefixes("192.0.2.0/24", "10.0.0.0/8", "192.0.2.0/25", "::/0")[:b%5]
		svc.HealthCheckNodePort = 31000 + 10*uint16(key.Namespace[0]) + uint16(key.Name[1]-'0') // one of its own
	}
	return svc
}

// slice has endpoints of both families, some twice, at any port.
func (s *interleaved) slice(key, service types.NamespacedName) *objects.Slice {
	a, b := s.next(), s.next()
	out := &objects.Slice{
		Key: types.NamespacedName{Namespace: service.Namespace, Name: fmt.Sprintf("%s-%d", key.Name, a&1)}, Service: service, IPv6: a&2 > 0,
		Ports: []objects.SlicePort{
			{Name: "a", Proto: inet.TCP, Port: []uint16{8080, 1, 65535, 80}[b%4]},
			{Name: "b", Proto: inet.UDP, Port: []uint16{53, 8472}[b>>2%2]},
			{Name: "c", Proto: inet.SCTP, Port: 53}, {Name: "a", Proto: inet.TCP, Port: 8080},
		}[:1+a>>2%4],
	}
	for i := range a >> 3 % 12 {
		ep := objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 244, byte(b >> 4 % 2), byte(i * (1 + b>>5%2))})}
		switch {
		case out.IPv6 && i == 2:
			ep.Addr = netip.MustParseAddr("::ffff:10.244.0.2")
		case out.IPv6:
			ep.Addr = netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x10, 2, 0x44, 15: byte(i)})
		case i == 3:
			ep.Addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(b % 4)}) // of a node
		}
		ep.Node = objects.NameOf(nodeNames[(i+b)%3])
		s.condition(&ep)
		out.Endpoints = append(out.Endpoints, ep)
	}
	return out
}

// condition gives an endpoint a state and hints.
func (s *interleaved) condition(ep *objects.Endpoint) {
	c := s.next()
	ep.Ready, ep.Serving, ep.Terminating = c&3 < 2, c&3 < 3, c&6 == 2
	if c&7 == 7 { // published although it is not ready
		ep.Ready, ep.Serving, ep.Terminating = true, c&128 > 0, c&16 > 0
	}
	ep.ForZones, ep.ForNodes = objects.Names{}, objects.Names{}
	if c&24 > 0 {
		ep.ForZones = objects.NamesOf(fmt.Sprint("z", c>>3%4))
	}
	if c&96 == 96 {
		ep.ForNodes = objects.NamesOf(nodeNames[c>>4%3])
	}
}

// large is a Service whose work is suspended, and whose frontends take several batches.
func (s *interleaved) large(key types.NamespacedName) *objects.Service {
	svc := s.service(key)
	for i := range uint16(s.next() % 5) {
		svc.Ports = append(svc.Ports, objects.ServicePort{Name: "a", Proto: inet.TCP, Port: 1000 + i})
	}
	return svc
}

func (s *interleaved) largeSlice(key types.NamespacedName) *objects.Slice {
	out := s.slice(key, key)
	out.IPv6, out.Endpoints = false, nil
	n, from := 4*(s.next()%40), s.next()
	if n == 0 {
		n = 1100 // more than are counted at once
	}
	for i := range n {
		ep := objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, byte(243 + from%2), byte((i + from) >> 8), byte(i + from)}), Ready: true, Serving: true}
		ep.Node = objects.NameOf(nodeNames[i%(1+from%3)])
		out.Endpoints = append(out.Endpoints, ep)
	}
	return out
}

// node has an address that others had before, or have.
func (s *interleaved) node(which int) *objects.Node {
	b := s.next()
	n := &objects.Node{Name: nodeNames[which%3], Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(b % 4)})}}
	if b&4 > 0 {
		n.Addresses = append(n.Addresses, netip.MustParseAddr("2001:db8::1"))
	}
	n.Underlay = n.Addresses
	if b&8 > 0 {
		n.Zone = fmt.Sprint("z", b>>4%3)
	}
	n.PodCIDRs = proxiertest.MustPrefixes("10.244.0.0/24", "10.244.1.0/24", "10.243.0.0/16", "fd00:10:244::/64")[b>>5%2:][:b>>6%3]
	return n
}

// pod makes or deletes a Pod with a host port that another one may have. Its age does not say who
// asked first.
func (s *interleaved) pod(tx *store.Tx, i int) {
	b := s.next()
	key := types.NamespacedName{Namespace: "default", Name: fmt.Sprint("p", i)}
	if b&3 == 0 {
		delete(s.pods, i)
		tx.DeletePod(key)
		return
	}
	pod := &objects.Pod{Key: key, Node: "node-a", Ports: []objects.PodPort{{Field: "ports", Proto: inet.UDP, HostPort: 30000 + uint16(i%2), Port: 53}}}
	if old := s.pods[i]; old != nil {
		pod.UID, pod.Created = old.UID, old.Created
	} else {
		pod.UID, pod.Created = s.age()
	}
	pod.IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 0, byte(b % 8)}), netip.MustParseAddr("fd00:10:244::1")}[:1+b>>3%2]
	s.pods[i] = pod
	tx.SetPod(pod)
}

// putPods gives a store the Pods, which copyOf leaves out.
func (s *interleaved) putPods(in *store.Store) {
	in.Update(func(tx *store.Tx) {
		for _, pod := range s.pods {
			tx.SetPod(pod)
		}
	})
}

// cidr makes or deletes a ServiceCIDR.
func (s *interleaved) cidr(tx *store.Tx, which int) {
	name := fmt.Sprint("c", which%2)
	if which&2 > 0 {
		tx.DeleteServiceCIDR(name)
		return
	}
	tx.SetServiceCIDR(&objects.ServiceCIDR{Name: name, CIDRs: proxiertest.MustPrefixes("10.96.0.0/16", "10.96.0.0/24", "fd00:10:96::/112")[which>>2%3:]})
}
