// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
)

// HealthWish is what a Service asks for; nil and one without a port ask for
// nothing.
func HealthWish(svc *objects.Service, from []*objects.Slice, self *Self, seen uint64) []Wish[uint16, int] {
	if svc == nil || svc.HealthCheckNodePort == 0 {
		return nil
	}
	return []Wish[uint16, int]{{rank{seen: seen, created: svc.Created.UnixMilli()}, svc.HealthCheckNodePort, localReady(from, self)}}
}

// LostHealthPorts reports that a Service does not have its port.
func LostHealthPorts(h *Contest[uint16, int], svc types.NamespacedName) []objects.Problem {
	var out []objects.Problem
	h.lost(svc, func(mine, owner *contender[uint16, int]) {
		out = append(out, objects.Problem{
			Kind: objects.KindService, Name: svc.String(), UID: mine.Subject.UID, Field: objects.FieldHealthPort,
			Text: fmt.Sprintf("port %d belongs to Service %s, %s", mine.Key, owner.Subject, why(owner.rank, mine.rank)),
		})
	})
	return out
}

// localReady counts the pods of a Service that run and are ready on this node,
// by their addresses: of the two families the one that has more, as a pod of a
// dual-stack Service has one of each. Those that terminate do not count, so
// that load balancers turn away while they still serve.
func localReady(list []*objects.Slice, self *Self) int {
	seen := map[netip.Addr]struct{}{}
	var n [2]int
	for _, s := range list {
		if len(s.Ports) == 0 {
			continue
		}
		for i := range s.Endpoints {
			ep := &s.Endpoints[i]
			if _, twice := seen[ep.Addr]; twice || !ep.Ready || !(target{Endpoint: ep}).on(self) {
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

// HealthAddrs returns where health is asked for: where NodePorts are served,
// and with "primary" on loopback addresses, too, as by kube-proxy.
func HealthAddrs(cfg *Config, nodePorts []netip.Prefix) []netip.Prefix {
	out := slices.Clone(nodePorts)
	if slices.Contains(cfg.NodePortAddresses, NodePortPrimary) {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32), netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	return out
}
