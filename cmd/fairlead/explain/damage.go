// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
	"fairlead/proxier/resolve"
)

// wantedAt returns what the objects ask for at an address, or at the port of this node.
func (p *Picture) wantedAt(a inet.Addr) (nat.Frontend, bool) {
	if p.wanted == nil || p.Table == nil {
		return nat.Frontend{}, false
	}
	if f, ok := p.wanted.Frontend(a); ok || !p.servesNodePorts(a.IP) {
		return f, ok
	}
	return p.wanted.Frontend(nodePort(a))
}

// servesNodePorts reports whether the table serves NodePorts at an address.
func (p *Picture) servesNodePorts(ip netip.Addr) bool {
	set := ruleset.Set{Kind: ruleset.NodePortAddrs, Family: inet.FamilyOf(ip)}
	return p.Network != nil && p.Network.IsLocal(ip) && !ip.IsLoopback() &&
		slices.ContainsFunc(p.Table.Found.Ranges[set], func(r netip.Prefix) bool { return r.Contains(ip) })
}

// nodePort returns the port of an address as the port of this node.
func nodePort(a inet.Addr) inet.Addr {
	return inet.Addr{IP: inet.FamilyOf(a.IP).Unspecified(), Port: a.Port, Proto: a.Proto}
}

// absent returns the addresses that a Service should have in the table and does not have.
func (p *Picture) absent(key types.NamespacedName, list []listing.Frontend) []listing.Frontend {
	if p.wanted == nil || p.Table == nil {
		return nil
	}
	var out []listing.Frontend
	for _, a := range p.wanted.FrontendsOf(key) {
		if !slices.ContainsFunc(list, func(f listing.Frontend) bool { return f.Key == a }) {
			f, _ := p.wanted.Frontend(a)
			out = append(out, listing.NewFrontend(a, f.Owner))
		}
	}
	return out
}

// lacking returns the endpoints that a frontend should have in the table and does not have, and how
// many it should have.
func (p *Picture) lacking(f *listing.Frontend) (lacks []netip.AddrPort, want int) {
	if p.wanted == nil {
		return nil, 0
	}
	w, _ := p.wanted.Frontend(f.Key)
	has := map[string]listing.Endpoint{}
	for _, e := range f.Endpoints {
		has[e.Address] = e
	}
	for _, b := range w.Backends {
		at := b.AddrPort()
		e := has[at.String()]
		if !e.ForAll || w.Policy == nat.Local && !e.Local && slices.Contains(w.LocalBackends, at) {
			lacks = append(lacks, at)
		}
	}
	return lacks, len(w.Backends)
}

// codeNotInTable is the reason of an endpoint that the table lacks.
const codeNotInTable = "not-in-table"

// unlisted returns the endpoints of a frontend that the table lacks.
func (p *Picture) unlisted(f *listing.Frontend) []Endpoint {
	lacks, _ := p.lacking(f)
	service, _, _ := strings.Cut(f.Service, ":")
	var out []Endpoint
	for _, at := range lacks {
		r := p.refs()[service+" "+at.Addr().String()]
		out = append(out, Endpoint{
			Service: f.Service, Protocol: f.Proto, Frontend: f.Address, Address: at.String(), Pod: r.pod, Node: r.node, Zone: r.zone, Slice: r.slice,
			Unused: &resolve.Reason{Code: codeNotInTable, Text: "the table in the kernel lacks it for " + f.Address},
		})
	}
	return out
}

// seeExplain ends a note about damage.
const seeExplain = ": see fairlead explain"

// damageOf says how what the table has for a frontend differs from what the objects ask for; "" if
// it does not.
func (p *Picture) damageOf(f *listing.Frontend) string {
	if p.wanted == nil {
		if f.Policy == "unknown" {
			return "the table is damaged" + seeExplain
		}
		return ""
	}
	if _, ok := p.wanted.Frontend(f.Key); !ok {
		return "the objects ask for no such address" + seeExplain
	}
	if lacks, want := p.lacking(f); len(lacks) > 0 {
		return fmt.Sprintf("the table lacks %d of %s", len(lacks), endpoints(want)) + seeExplain
	}
	if p.Table.Found.Flags != 0 {
		return "the table is dormant or belongs to another program" + seeExplain
	}
	damaged := p.damagedObjects()
	if damaged[verdictName(f.Key)] {
		return "the chain of the address differs from the wanted one" + seeExplain
	}
	for _, chain := range p.chainsFrom(f.Chain) {
		if damaged["chain "+chain] {
			return fmt.Sprintf("chain %s differs from the wanted one", chain) + seeExplain
		}
	}
	if f.Policy == "unknown" {
		return "the table is damaged" + seeExplain
	}
	return ""
}

// damagedObjects returns what differs from the wanted table, by plan.Mismatch.Object.
func (p *Picture) damagedObjects() map[string]bool {
	if p.damaged == nil {
		p.damaged = map[string]bool{}
		for _, d := range p.differences() {
			p.damaged[d.Object] = true
		}
	}
	return p.damaged
}

// verdictName returns the element that gives an address its chain, as plan.Mismatch.Object.
func verdictName(a inet.Addr) string {
	e := ruleset.Element{Set: ruleset.Set{Kind: ruleset.VIPs, Family: inet.FamilyOf(a.IP)}, Key: a}
	if a.IsNodePort() {
		e.Set.Kind = ruleset.NodePorts
	}
	key, _, _ := strings.Cut(e.String(), " : ")
	return fmt.Sprintf("element of %s { %s }", e.Set, key)
}

// chainsFrom returns a chain of a frontend and those that it leads to, behind those that all
// packets to Services pass.
func (p *Picture) chainsFrom(chain string) []string {
	if list, ok := p.leads[chain]; ok {
		return list
	}
	out := []string{"prerouting", "output", "services", chain}
	for i := len(out) - 1; i < len(out); i++ {
		c := p.Table.Found.Chains[out[i]]
		if c == nil {
			continue
		}
		for j := range c.Rules {
			if next := listing.Read(c.Rules[j].Exprs).Chain; next != "" && !slices.Contains(out, next) {
				out = append(out, next)
			}
		}
	}
	if p.leads == nil {
		p.leads = map[string][]string{}
	}
	p.leads[chain] = out
	return out
}
