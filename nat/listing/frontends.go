// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Frontend is an address and port of a Service, as the kernel serves it.
type Frontend struct {
	Service string `json:"service"` // "namespace/name:port", shortened to 128 bytes
	Address string `json:"address"` // "*" stands for the node's own addresses
	Proto   string `json:"protocol"`
	// Policy is "cluster", "external", "local", "reject" or "drop"; "unknown" for a
	// verdict that another program wrote, and where the rule is missing that would reject.
	Policy    string     `json:"policy"`
	Chain     string     `json:"chain"` // that its packets go to, or "drop"
	Sticky    bool       `json:"sticky"`
	Sources   []string   `json:"sources,omitempty"` // nil if any client may connect
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	Key       inet.Addr  `json:"-"`
}

// Endpoint is one backend of a Frontend.
type Endpoint struct {
	Address string `json:"address"`
	// Local says that policy Local keeps connections of clients outside of the cluster
	// on this node and may give them to this endpoint.
	Local bool `json:"local,omitempty"`
	// ForAll says that clients get the endpoint whom policy Local does not confine.
	ForAll bool `json:"-"`
	// Connections is how many the kernel counted, nil without counters.
	Connections *uint64 `json:"connections,omitempty"`
}

// HostPort is a port of this node that belongs to a pod.
type HostPort struct {
	Pod      string `json:"pod"` // "namespace/name"
	Address  string `json:"address"`
	Proto    string `json:"protocol"`
	Endpoint string `json:"endpoint"`
}

// Client is a client that session affinity keeps with its endpoint.
type Client struct {
	Address  string `json:"address"` // that it dialled
	Proto    string `json:"protocol"`
	Client   string `json:"client"`
	Endpoint string `json:"endpoint"`
	Expires  string `json:"expires"` // time that is left, in whole seconds
}

// Frontends returns the frontends of a Service, "namespace/name", or all for "". They
// are sorted by Service and address.
func (t *Table) Frontends(service string) []Frontend {
	found := map[inet.Addr]*Frontend{}
	keeps := map[inet.Addr]bool{} // those whose chain refuses clients while they have no endpoint
	all := t.elements()
	each := func(want func(ruleset.Set) bool, f func(*ruleset.Entry)) {
		for _, set := range slices.SortedFunc(maps.Keys(all), ruleset.CompareSets) {
			if !want(set) {
				continue
			}
			slices.SortFunc(all[set], compareEntries)
			for i := range all[set] {
				f(&all[set][i])
			}
		}
	}
	isVerdict := func(s ruleset.Set) bool { return s.Kind == ruleset.VIPs || s.Kind == ruleset.NodePorts }
	each(isVerdict, func(e *ruleset.Entry) {
		if service == "" || IsOwner(e.Comment, service) {
			found[e.Key], keeps[e.Key] = newFrontend(&e.Element)
		}
	})
	each(ruleset.Set.IsSlots, func(e *ruleset.Entry) {
		if f := found[e.Key]; f != nil {
			f.addEndpoint(e)
		}
	})
	each(func(s ruleset.Set) bool { return s.Kind == ruleset.Sources }, func(e *ruleset.Entry) {
		if f := found[e.Key]; f != nil && f.Sources != nil {
			f.Sources = append(f.Sources, e.Client.String())
		}
	})
	keys := slices.SortedFunc(maps.Keys(found), func(a, b inet.Addr) int {
		return cmp.Or(strings.Compare(found[a].Service, found[b].Service), a.Compare(b))
	})
	out := make([]Frontend, len(keys))
	for i, key := range keys {
		out[i] = *found[key]
		if keeps[key] && len(out[i].Endpoints) == 0 {
			out[i].Policy = "reject"
		}
		if out[i].Policy == "reject" && !t.refuses(&out[i]) {
			out[i].Policy = "unknown"
		}
	}
	return out
}

// refuses reports whether the rules are there that reject the clients of a frontend without
// endpoints.
func (t *Table) refuses(f *Frontend) bool {
	shape, ok := ruleset.ShapeOfVerdict(f.Chain, inet.FamilyOf(f.Key.IP), f.Key.IsNodePort())
	return ok && !slices.ContainsFunc(shape.Refusing(), func(chain string) bool { return !t.rejects(chain) })
}

// rejects reports whether a chain has a rule that rejects every packet.
func (t *Table) rejects(chain string) bool {
	c := t.Found.Chains[chain]
	if c == nil {
		return false
	}
	for i := range c.Rules {
		if exprs := c.Rules[i].Exprs; len(exprs) == 1 {
			if _, ok := exprs[0].(*expr.Reject); ok {
				return true
			}
		}
	}
	return false
}

// NewFrontend returns an address of a Service that the table does not have.
func NewFrontend(a inet.Addr, service string) Frontend {
	return Frontend{Service: service, Address: dialled(a), Proto: a.Proto.String(), Key: a}
}

// newFrontend returns the frontend of a verdict, and whether its chain refuses clients while it has
// no endpoint.
func newFrontend(e *ruleset.Element) (f *Frontend, keepsEmpty bool) {
	f = &Frontend{Service: e.Comment, Address: dialled(e.Key), Proto: e.Key.Proto.String(), Chain: e.Verdict, Policy: "unknown", Key: e.Key}
	shape, ok := ruleset.ShapeOfVerdict(e.Verdict, e.Set.Family, e.Key.IsNodePort())
	if ok {
		f.Policy, f.Sticky = shape.PolicyWord(), shape.IsSticky()
		if shape.IsGuarded() {
			f.Sources = []string{}
		}
	}
	return f, ok && shape.KeepsEmpty()
}

// addEndpoint adds what a slot holds. An endpoint that is local has two.
func (f *Frontend) addEndpoint(e *ruleset.Entry) {
	local := e.Set.Kind == ruleset.Locals || e.Set.Kind == ruleset.NodeLocals
	i := slices.IndexFunc(f.Endpoints, func(o Endpoint) bool { return o.Address == e.Data.String() })
	if i < 0 {
		i = len(f.Endpoints)
		f.Endpoints = append(f.Endpoints, Endpoint{Address: e.Data.String()})
	}
	ep := &f.Endpoints[i]
	ep.Local, ep.ForAll = ep.Local || local, ep.ForAll || !local
	if e.Counter {
		n := e.Packets
		if ep.Connections != nil {
			n += *ep.Connections
		}
		ep.Connections = &n
	}
}

// dialled returns an address and port; "*" stands for the node's own addresses.
func dialled(a inet.Addr) string {
	switch {
	case !a.IsNodePort():
		return fmt.Sprint(a.AddrPort())
	case a.IP.Is4():
		return fmt.Sprintf("*:%d", a.Port)
	}
	return fmt.Sprintf("[*]:%d", a.Port)
}

// HostPorts returns the ports of this node that belong to pods, sorted by pod.
func (t *Table) HostPorts() []HostPort {
	out := []HostPort{}
	for e := range t.Found.Elements.All() {
		if e.Set.IsHostPorts() {
			out = append(out, HostPort{Pod: e.Comment, Address: dialled(e.Key), Proto: e.Key.Proto.String(), Endpoint: e.Data.String()})
		}
	}
	slices.SortFunc(out, func(a, b HostPort) int {
		return cmp.Or(strings.Compare(a.Pod, b.Pod), strings.Compare(a.Address, b.Address), strings.Compare(a.Proto, b.Proto))
	})
	return out
}

// Clients returns the clients that session affinity keeps with an endpoint, sorted by
// the address that they dialled.
func (t *Table) Clients() []Client {
	var list []ruleset.Entry
	for set, entries := range t.Entries {
		if set.Spec().Learnt {
			list = append(list, entries...)
		}
	}
	slices.SortFunc(list, compareEntries)
	out := make([]Client, len(list))
	for i := range list {
		e := &list[i]
		out[i] = Client{
			Address: dialled(e.Key), Proto: e.Key.Proto.String(), Client: e.Client.Addr().String(), Endpoint: e.Data.String(),
			Expires: e.Expires.Truncate(time.Second).String(),
		}
	}
	return out
}
