// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/state"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// lister lists Services for the page. Its methods are safe for concurrent use.
type lister struct {
	store *store.Store
	rates *rates // nil without counters
}

// list returns the Services that q selects.
func (l *lister) list(ctx context.Context, q state.Query) *state.Services {
	table := l.rates.table(ctx)
	names := l.store.Services()
	out := &state.Services{Query: q, All: len(names), Counted: l.rates != nil, Rated: table.rated}
	if q.Search != "" {
		names = slices.DeleteFunc(names, func(n types.NamespacedName) bool { return !l.fits(n, q.Search) })
	}
	if q.Busy {
		slices.SortStableFunc(names, func(a, b types.NamespacedName) int {
			return cmp.Compare(table.of[b.String()].perSecond, table.of[a.String()].perSecond)
		})
	}
	out.Found = len(names)
	out.From = min(q.From, len(names))
	for _, n := range names[out.From:min(out.From+state.MaxServices, len(names))] {
		if svc := l.store.Service(n); svc != nil {
			s := serviceOf(svc, l.store.Slices(n))
			rate := table.of[s.Name]
			s.Connections, s.PerSecond = rate.connections, rate.perSecond
			out.List = append(out.List, s)
		}
	}
	return out
}

// fits reports whether the name of a Service or one of its addresses contains text.
func (l *lister) fits(n types.NamespacedName, text string) bool {
	if strings.Contains(n.String(), strings.ToLower(text)) {
		return true
	}
	svc := l.store.Service(n)
	return svc != nil && slices.ContainsFunc(addrsOf(svc), func(a netip.Addr) bool { return strings.Contains(a.String(), text) })
}

func addrsOf(svc *objects.Service) []netip.Addr {
	return slices.Concat(svc.ClusterIPs, svc.ExternalIPs, svc.LoadBalancerIPs)
}

// Bounds of one row.
const (
	maxRowAddrs = 8
	maxRowPorts = 8
)

func serviceOf(svc *objects.Service, list []*objects.Slice) state.Service {
	s := state.Service{Name: svc.Key.String()}
	addrs := addrsOf(svc)
	for _, a := range addrs[:min(len(addrs), maxRowAddrs)] {
		s.Addrs = append(s.Addrs, a.String())
	}
	s.Addrs = more(s.Addrs, len(addrs))
	for _, p := range svc.Ports[:min(len(svc.Ports), maxRowPorts)] {
		text := fmt.Sprint(p.Port)
		if p.NodePort != 0 {
			text += fmt.Sprint(":", p.NodePort)
		}
		s.Ports = append(s.Ports, text+"/"+strings.ToLower(p.Proto.String()))
	}
	s.Ports = more(s.Ports, len(svc.Ports))
	// An endpoint of two families is in two slices.
	var ready, all [2]int
	for _, slice := range list {
		family := 0
		if slice.IPv6 {
			family = 1
		}
		all[family] += len(slice.Endpoints)
		for i := range slice.Endpoints {
			if slice.Endpoints[i].Ready {
				ready[family]++
			}
		}
	}
	s.Ready, s.Endpoints = max(ready[0], ready[1]), max(all[0], all[1])
	return s
}

func more(list []string, all int) []string {
	if n := all - len(list); n > 0 {
		return append(list, fmt.Sprintf("+%d", n))
	}
	return list
}
