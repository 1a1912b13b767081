// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"fmt"
	"net/netip"
	"strings"
)

// Kind is the kind of object that a Removal removes. Kinds are in the order of removal:
// first files that start pods, then objects that packets meet, then the objects that
// those refer to.
type Kind uint8

// The kinds, in order.
const (
	KindConflist Kind = iota
	KindTable         // of nftables, with everything in it
	KindRules         // jumps and chains of one table of iptables-nft
	KindSet           // of ipset
	KindRoutingRule
	KindRoute
	KindDevice
	KindFile
)

// Removal is an object, or the jumps and chains of one table, that an owner left.
type Removal struct {
	Owner Owner
	Kind  Kind
	// Name is that of a file, device or set, and of a table with its family.
	Name string
	// Rules and Chains are removed from a table of iptables: rules in chains of
	// other programs, by their handles, and whole chains.
	Rules  []JumpRule
	Chains []string
	Route  Route
	Rule   RoutingRule
	index  int // of a device
}

// JumpRule is a rule of an owner in another program's chain.
type JumpRule struct {
	Chain  string
	Rule   Rule
	Number int // from 1, as iptables counts the rules that lead to chains
}

// String names the object in one line.
func (r *Removal) String() string {
	switch r.Kind {
	case KindTable:
		return "table " + r.Name
	case KindRules:
		return fmt.Sprintf("table %s: %s", r.Name, strings.Join(r.parts(), "; "))
	case KindSet:
		return "ipset " + r.Name
	case KindRoutingRule:
		return "routing rule " + r.Rule.String()
	case KindRoute:
		return "route " + r.Route.String()
	case KindDevice:
		return "device " + r.Name
	default:
		return "file " + r.Name
	}
}

// parts names jumps and chains; those that are named after a hash are counted.
func (r *Removal) parts() []string {
	var out []string
	for _, j := range r.Rules {
		out = append(out, fmt.Sprintf("jump from %s to %s", j.Chain, j.Rule.Target))
	}
	var plain []string
	n := namesOf(r.Owner)
	count, order := map[string]int{}, []string{}
	for _, c := range r.Chains {
		p := n.prefix(c)
		if p == "" {
			plain = append(plain, c)
			continue
		}
		if count[p] == 0 {
			order = append(order, p)
		}
		count[p]++
	}
	for _, p := range order {
		plain = append(plain, fmt.Sprintf("%s* (%d)", p, count[p]))
	}
	if len(plain) > 0 {
		out = append(out, "chains "+strings.Join(plain, ", "))
	}
	return out
}

// String returns the rule as ip shows it.
func (r RoutingRule) String() string {
	return fmt.Sprintf("from %s fwmark %#x/%#x lookup %d", r.Src, r.Mark, r.Mask, r.Table)
}

// String returns the route as ip shows it.
func (r Route) String() string {
	var b strings.Builder
	if r.Blackhole {
		b.WriteString("blackhole ")
	}
	b.WriteString(r.Dst.String())
	if r.Via.IsValid() {
		b.WriteString(" via " + r.Via.String())
	}
	if r.Table != 0 {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	if r.Protocol != 0 {
		fmt.Fprintf(&b, " proto %d", r.Protocol)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	return b.String()
}

// Left is an object that stays, with the reason.
type Left struct {
	Owner   Owner
	Object  string
	Why     string
	Command string // to be typed by a person, if there is one
}

// String returns a sentence, and the command to run.
func (l *Left) String() string {
	s := "left in place: " + l.Object + ": " + l.Why
	if l.Command != "" {
		s += "; to remove it: " + l.Command
	}
	return s
}

// Plan lists the objects to remove, in order, and those left to the administrator.
type Plan struct {
	Removals []Removal
	Left     []Left
}

// Empty reports whether the owners of the plan left nothing.
func (p *Plan) Empty() bool { return len(p.Removals) == 0 && len(p.Left) == 0 }

// NewPlan returns the plan that removes the owners' leftovers. It is a pure function.
func NewPlan(o Options, owners []Owner, s *State) Plan {
	var out Plan
	for kind := KindConflist; kind <= KindFile; kind++ {
		for _, owner := range owners {
			p := planner{Options: o, owner: owner, all: owners, names: namesOf(owner), state: s}
			p.plan(kind)
			out.Removals = append(out.Removals, p.Removals...)
			out.Left = append(out.Left, p.Left...)
		}
	}
	return out
}

// planner plans the removals of one kind.
type planner struct {
	Options
	Plan
	owner Owner
	all   []Owner // whose leftovers go
	names names
	state *State
}

func (p *planner) plan(kind Kind) {
	switch kind {
	case KindConflist:
		p.file(kind, p.conflist(p.owner))
	case KindTable:
		for i := range p.state.Tables {
			t := &p.state.Tables[i]
			if p.names.ownsTable(t) || p.owner == Fairlead && t.String() == p.Table {
				p.remove(Removal{Kind: kind, Name: t.String()})
			}
		}
	case KindRules:
		for i := range p.state.Tables {
			if t := &p.state.Tables[i]; t.iptables() {
				p.rules(t)
			}
		}
		p.legacy()
	case KindSet:
		for _, s := range p.state.Sets {
			if p.names.ownsSet(s) {
				p.remove(Removal{Kind: kind, Name: s})
			}
		}
	case KindRoutingRule:
		p.routingRules()
	case KindRoute:
		p.routes()
	case KindDevice:
		p.devices()
	case KindFile:
		if p.owner == Flannel {
			p.file(kind, p.SubnetFile)
		}
	}
}

func (p *planner) remove(r Removal) {
	r.Owner = p.owner
	p.Removals = append(p.Removals, r)
}

func (p *planner) leave(object, why, command string) {
	p.Left = append(p.Left, Left{p.owner, object, why, command})
}

func (p *planner) file(kind Kind, name string) {
	for _, f := range p.state.Files {
		if f == name {
			p.remove(Removal{Kind: kind, Name: name})
		}
	}
}

// routingRules plans the removal of routing rules. Those of fairlead bear its protocol number.
func (p *planner) routingRules() {
	for _, r := range p.state.Rules {
		if p.owner == Fairlead && r.Protocol == p.Protocol && p.Protocol != 0 {
			p.remove(Removal{Kind: KindRoutingRule, Name: r.String(), Rule: r})
		}
	}
}

// routes plans the removal of routes. Those of fairlead bear its protocol number, and
// flannel's blackhole is for the pod CIDR. flannel's other routes go with its devices,
// or look like any route that an administrator adds.
func (p *planner) routes() {
	for _, r := range p.state.Routes {
		switch {
		case p.owner == Fairlead && r.Protocol == p.Protocol && p.Protocol != 0:
			p.remove(Removal{Kind: KindRoute, Name: r.Dst.String(), Route: r})
		case p.owner != Flannel || r.Table != 0:
		case r.Blackhole && contains(p.state.Subnets, r.Dst):
			p.remove(Removal{Kind: KindRoute, Name: r.Dst.String(), Route: r})
		case r.Via.IsValid() && r.Protocol == protocolBoot && !p.leaves(r.Device) && p.inNetwork(r.Dst):
			p.leave("route "+r.String(), "flannel's in mode host-gw or with DirectRouting, but it could be an administrator's", "ip route delete "+r.Dst.String()+" via "+r.Via.String())
		}
	}
}

// protocolBoot is RTPROT_BOOT, which flannel and the ip command use.
const protocolBoot = 3

func contains(list []netip.Prefix, p netip.Prefix) bool {
	for _, l := range list {
		if l.Masked() == p {
			return true
		}
	}
	return false
}

func (p *planner) inNetwork(dst netip.Prefix) bool {
	for _, n := range p.state.Networks {
		if n.Contains(dst.Addr()) && dst.Bits() > n.Bits() {
			return true
		}
	}
	return false
}

// leaves reports whether a device of the owner goes, and its routes with it.
func (p *planner) leaves(index int) bool {
	for i := range p.state.Links {
		if l := &p.state.Links[i]; l.Index == index {
			return p.ownsDevice(l)
		}
	}
	return false
}
