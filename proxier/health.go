// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

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

// healthPorts keeps which Service has which healthCheckNodePort. The API server
// gives each port to one Service, files may not: then the older one has it.
type healthPorts struct {
	byPort    map[uint16][]healthPort // sorted, the owner first
	byService map[types.NamespacedName]healthPort
	dirty     map[types.NamespacedName]struct{} // not told yet
	on        []netip.Prefix
	news      bool // problems may have changed
}

// healthPort is a Service's wish for a port.
type healthPort struct {
	service types.NamespacedName
	created time.Time
	port    uint16
	local   int // endpoints on this node
}

func newHealthPorts() *healthPorts {
	return &healthPorts{
		byPort: map[uint16][]healthPort{}, byService: map[types.NamespacedName]healthPort{},
		dirty: map[types.NamespacedName]struct{}{},
	}
}

// set replaces the wish of a Service; nil and one without a port have none.
func (h *healthPorts) set(key types.NamespacedName, svc *Service, from []*Slice, self *Self) {
	old, had := h.byService[key]
	now := healthPort{service: key}
	if svc != nil && svc.HealthCheckNodePort != 0 {
		now = healthPort{key, svc.Created, svc.HealthCheckNodePort, localReady(from, self)}
	}
	if now == old || !had && now.port == 0 {
		return
	}
	if had {
		h.change(old.port, func(all []healthPort) []healthPort {
			return slices.DeleteFunc(all, func(o healthPort) bool { return o.service == key })
		})
		delete(h.byService, key)
	}
	if now.port != 0 {
		h.change(now.port, func(all []healthPort) []healthPort {
			return append(all, now)
		})
		h.byService[key] = now
	}
	h.dirty[key] = struct{}{}
}

// change replaces the contenders for one port by what f makes of them.
func (h *healthPorts) change(port uint16, f func([]healthPort) []healthPort) {
	all := h.byPort[port]
	h.news = h.news || len(all) > 1
	all = f(all)
	h.news = h.news || len(all) > 1
	if len(all) == 0 {
		delete(h.byPort, port)
		return
	}
	slices.SortFunc(all, func(a, b healthPort) int {
		return cmp.Or(a.created.Compare(b.created), compareNames(a.service, b.service))
	})
	h.byPort[port] = all
	if len(all) > 1 {
		for _, o := range all {
			h.dirty[o.service] = struct{}{}
		}
	} else {
		h.dirty[all[0].service] = struct{}{}
	}
}

// problems reports those who do not have their port.
func (h *healthPorts) problems() []Problem {
	var out []Problem
	for port, all := range h.byPort {
		for _, loser := range all[1:] {
			rule := "which is as old and comes first by name"
			if all[0].created.Before(loser.created) {
				rule = "which is older"
			}
			out = append(out, Problem{
				Kind: kindService, Name: loser.service.String(), Field: fieldHealthPort,
				Text: fmt.Sprintf("port %d belongs to Service %s, %s", port, all[0].service, rule),
			})
		}
	}
	return out
}

// tell passes on what changed. Ports do not wait for the kernel; that there are
// endpoints is said once connections reach them, when programmed is set.
func (h *healthPorts) tell(to Health, programmed bool) {
	if to == nil {
		clear(h.dirty)
		return
	}
	to.Serve(h.on)
	for key := range h.dirty {
		name := healthcheck.Name(key)
		p := h.byService[key]
		if p.port == 0 || h.byPort[p.port][0].service != key {
			to.Delete(name)
			delete(h.dirty, key)
			continue
		}
		to.Set(name, p.port)
		if programmed {
			to.SetLocal(name, p.local)
			delete(h.dirty, key)
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
// with nil that nothing is wrong with it any more.
func (s *Store) HealthCheck(svc healthcheck.Name, err error) {
	r := newReport(kindService, svc.String())
	if err != nil {
		r.add(fieldHealthPort, "%v; tried again", err)
	}
	s.Update(func(tx *Tx) { tx.SetProblems(fieldHealthPort, svc.String(), r.problems) })
}
