// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/healthcheck"
)

// Health is told about which Services load balancers ask this node; see
// healthcheck.Server for the contract.
type Health interface {
	Set(svc healthcheck.Name, port uint16)
	SetLocal(svc healthcheck.Name, local int)
	Delete(svc healthcheck.Name)
	Serve(on []netip.Prefix)
}

// healthPorts is the contest for healthCheckNodePorts. The API server gives each
// port to one Service; files may not.
type healthPorts struct {
	*contest[uint16, int]                                   // the value is the number of endpoints on this node
	waiting               map[types.NamespacedName]struct{} // to be published
	on                    []netip.Prefix
}

func newHealthPorts() *healthPorts {
	return &healthPorts{newContest[uint16, int](nil), map[types.NamespacedName]struct{}{}, nil}
}

// healthWish is what a Service asks for; nil and one without a port ask for
// nothing.
func healthWish(svc *Service, from []*Slice, self *Self) []wish[uint16, int] {
	if svc == nil || svc.HealthCheckNodePort == 0 {
		return nil
	}
	return []wish[uint16, int]{{rank{since: svc.Created}, svc.HealthCheckNodePort, localReady(from, self)}}
}

// settle writes down who lost a port since the last call.
func (h *healthPorts) settle(book *Book) {
	for _, key := range h.takeStale() {
		h.waiting[key] = struct{}{}
		book.Set(byHealthPort, objectKey{kindService, key.String()}, h.problems(key))
	}
}

// problems reports that a Service does not have its port.
func (h *healthPorts) problems(svc types.NamespacedName) []Problem {
	var out []Problem
	h.lost(svc, func(mine, owner *contender[uint16, int]) {
		out = append(out, Problem{
			Kind: kindService, Name: svc.String(), UID: mine.subject.uid, Field: fieldHealthPort,
			Text: fmt.Sprintf("port %d belongs to Service %s, %s", mine.key, owner.subject, why(owner.rank, mine.rank)),
		})
	})
	return out
}

// publish passes on what changed. Ports do not wait for the kernel; the number of
// endpoints is passed on once connections reach them, when programmed is set.
func (h *healthPorts) publish(to Health, programmed bool) {
	if to == nil {
		clear(h.waiting)
		return
	}
	to.Serve(h.on)
	for key := range h.waiting {
		name := healthcheck.Name(key)
		mine := h.bySubject[key]
		if len(mine) == 0 || h.owner(mine[0].key) != mine[0] {
			to.Delete(name)
			delete(h.waiting, key)
			continue
		}
		to.Set(name, mine[0].key)
		if programmed {
			to.SetLocal(name, mine[0].value)
			delete(h.waiting, key)
		}
	}
}

// localReady counts the pods of a Service that run and are ready on this node,
// by their addresses: of the two families the one that has more, as a pod of a
// dual-stack Service has one of each. Those that terminate do not count, so
// that load balancers turn away while they still serve.
func localReady(list []*Slice, self *Self) int {
	seen := map[netip.Addr]struct{}{}
	var n [2]int
	for _, s := range list {
		if len(s.Ports) == 0 {
			continue
		}
		for i := range s.Endpoints {
			ep := &s.Endpoints[i]
			if _, twice := seen[ep.Addr]; twice || !ep.Ready || !(target{Endpoint: *ep}).on(self) {
				continue
			}
			seen[ep.Addr] = struct{}{}
			if ep.Addr.Is4() {
				n[0]++
			} else {
				n[1]++
			}
		}
	}
	return max(n[0], n[1])
}

// healthAddrs returns where health is asked for: where NodePorts are served,
// and with "primary" on loopback addresses, too, as by kube-proxy.
func healthAddrs(cfg *Config, nodePorts []netip.Prefix) []netip.Prefix {
	out := slices.Clone(nodePorts)
	if slices.Contains(cfg.NodePortAddresses, NodePortPrimary) {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32), netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	return out
}

const fieldHealthPort = "spec.healthCheckNodePort"

// HealthCheck notes why a Service's healthCheckNodePort cannot be served, or
// with nil that it is served again.
func (b *Book) HealthCheck(svc healthcheck.Name, err error) {
	r := newReport(kindService, svc.String())
	if err != nil {
		r.add(fieldHealthPort, "%v; tried again", err)
	}
	b.Set(byHealthCheck, objectKey{kindService, svc.String()}, r.problems)
}
