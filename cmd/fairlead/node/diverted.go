// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/firewall"
)

// Diverted is what CheckDiverted found.
type Diverted struct {
	Rules []firewall.Diversion
	// Tried is how many of the Of addresses of Services were tried.
	Tried, Of int
}

// CheckDiverted returns the rules of other programs that keep packets of this node's pods to
// ClusterIPs from the translation. It returns false until the Node is known. Addresses of
// this node are left out: a program such as a cache for DNS answers there itself, and needs
// no translation.
func (n *Network) CheckDiverted() (Diverted, bool, error) {
	cfg, ok := n.traffic()
	if !ok {
		return Diverted{}, false, nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return Diverted{}, true, fmt.Errorf("list addresses of this node: %w", err)
	}
	local := map[netip.Addr]bool{}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local[p.Addr()] = true
		}
	}
	targets, of := n.targets(local)
	found, err := firewall.Diverted(ownTable, cfg, targets)
	return Diverted{found, len(targets), of}, true, err
}

// maxTargets bounds the addresses of Services that CheckDiverted tries.
const maxTargets = 2000

// targets returns ClusterIPs of Services with their ports, and how many there are. If there are
// too many, namespaces take turns, so that the Services of one cannot hide those of others.
// The Services that a cluster needs come first.
func (n *Network) targets(leaveOut map[netip.Addr]bool) ([]firewall.Target, int) {
	turns := map[string]int{} // of a namespace
	type target struct {
		firewall.Target
		turn int
	}
	var all []target
	for _, key := range sortedKeys(n.store.Services()) {
		svc := n.store.Service(key)
		if svc == nil {
			continue
		}
		for _, ip := range svc.ClusterIPs {
			for _, p := range svc.Ports {
				if leaveOut[ip] {
					continue
				}
				t := firewall.Target{Name: key.String(), Addr: netip.AddrPortFrom(ip, p.Port), Proto: byte(p.Proto)}
				if needed(key) {
					all = append(all, target{t, -1})
					continue
				}
				all = append(all, target{t, turns[key.Namespace]})
				turns[key.Namespace]++
			}
		}
	}
	slices.SortStableFunc(all, func(a, b target) int { return cmp.Compare(a.turn, b.turn) })
	some := all[:min(len(all), maxTargets)]
	out := make([]firewall.Target, len(some))
	for i := range some {
		out[i] = some[i].Target
	}
	return out, len(all)
}

// needed reports whether a cluster does not work without a Service. A tenant cannot make one in
// these namespaces.
func needed(key types.NamespacedName) bool {
	return key.Namespace == "kube-system" || key == types.NamespacedName{Namespace: "default", Name: "kubernetes"}
}
