// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Finding is a base chain that drops pod traffic or packets to ports of the node.
type Finding struct {
	Table    string // "ip filter", "inet firewalld", "iptables-legacy filter"
	Chain    string // the base chain
	Where    []string
	Families []string // "IPv4", "IPv6"
	Flows    []Flow
	Certain  bool     // false: rules that are not understood may accept the traffic
	Owner    string   // "Docker", "firewalld", "ufw", or empty
	Remedy   []string // commands for the node
	Err      error    // why the table could not be read; its chains are then unknown

	table *table
	entry string // the chain whose first rules Apply makes
	hook  hook
	pods  bool   // it drops pod traffic
	ports []Port // that it drops packets to
}

// String describes the problem and the commands that solve it.
func (f Finding) String() string {
	if f.Err != nil {
		return f.Problem()
	}
	return f.Problem() + "; on the node: " + strings.Join(f.Remedy, "; ")
}

// Problem describes the problem without a solution.
func (f Finding) Problem() string {
	if f.Err != nil {
		return fmt.Sprintf("whether table %s drops pod traffic is not known: %v", f.Table, f.Err)
	}
	verb, what := "drops", "pod traffic"
	if !f.Certain {
		verb = "may drop"
	}
	switch {
	case !f.pods:
		what = "packets to this node"
	case len(f.ports) > 0:
		what = "pod traffic and packets to this node"
	}
	owner := ""
	if f.Owner != "" {
		owner = " of " + f.Owner
	}
	return fmt.Sprintf("chain %s in table %s%s %s %s (%s; %s) at %s",
		f.Chain, f.Table, owner, verb, what, strings.Join(f.Families, ", "), f.flows(), strings.Join(f.Where, ", "))
}

// Check returns the base chains that drop, or may drop, pod traffic.
func (r *Ruleset) Check(c Config) []Finding {
	out := slices.Clone(r.unknown)
	packets := c.packets(r.indexes)
	for _, t := range r.tables {
		for _, name := range sortedBases(t) {
			if f, bad := t.check(t.chains[name], c, packets); bad {
				out = append(out, f)
			}
		}
	}
	return out
}

func sortedBases(t *table) []string {
	var out []string
	for name, c := range t.chains {
		if c.base {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// check sends all packets through one base chain.
func (t *table) check(c *chain, config Config, packets []packet) (f Finding, bad bool) {
	f = Finding{Table: t.String(), Chain: c.name, table: t, hook: c.hook}
	var first packet
	for _, p := range packets {
		p, seen := c.sees(p)
		if !seen || !t.sees(p) {
			continue
		}
		w := walk{table: t, packet: p}
		if w.run(c) != drop {
			continue
		}
		if w.unsure && p.anySrc {
			continue // it may accept those that have to get through
		}
		if !bad {
			first = p
		}
		bad = true
		f.Certain = f.Certain || !w.unsure
		f.Where = with(f.Where, w.where)
		f.Flows = with(f.Flows, p.flow)
		if p.port != (Port{}) {
			f.ports = with(f.ports, p.port)
		} else {
			f.pods = true
		}
		f.Families = with(f.Families, family(p.src.Is4()))
	}
	if bad {
		f.Owner, f.entry = t.owner(c, first)
		if f.pods {
			f.Remedy = f.remedy(config.allPods())
		}
		if len(f.ports) > 0 {
			f.Remedy = append(f.Remedy, f.openPorts()...)
		}
	}
	return f, bad
}

func family(is4 bool) string {
	if is4 {
		return "IPv4"
	}
	return "IPv6"
}

func with[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

const dockerUser = "DOCKER-USER"

// owner recognises the program behind the rules by the names of chains, and returns
// the chain that is the place for an exception.
func (t *table) owner(c *chain, p packet) (who, entry string) {
	switch {
	case t.name == "firewalld":
		return "firewalld", c.name
	case t.has("ufw-") || t.has("ufw6-"):
		return "ufw", c.name
	case c.hook != forwardHook:
	case t.chains[dockerUser] != nil && t.jumpsFirst(c, dockerUser, p):
		return "Docker", dockerUser // which Docker leaves to the administrator
	case t.has("DOCKER"):
		return "Docker", c.name
	}
	return "", c.name
}

// remedy returns commands that make the chain accept packets from and to pods,
// in the language of its owner.
func (f Finding) remedy(pods []netip.Prefix) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range pods {
		if !slices.Contains(f.Families, family(p.Addr().Is4())) {
			continue
		}
		switch {
		case f.Owner == "firewalld":
			add("firewall-cmd --permanent --zone=trusted --add-source=%s", p)
		case f.Owner == "ufw":
			add("ufw route allow from %s", p)
			add("ufw route allow to %s", p)
		case f.table.legacy || f.table.name == "filter" && f.table.family != "inet":
			program := map[string]string{"ip": "iptables", "ip6": "ip6tables"}[f.table.family]
			if f.table.legacy {
				program += "-legacy"
			}
			for _, flag := range []string{"-s", "-d"} {
				add("%s -I %s %s %s -j ACCEPT -m comment --comment %q", program, f.entry, flag, p, Comment)
			}
		default:
			ip := map[bool]string{true: "ip", false: "ip6"}[p.Addr().Is4()]
			for _, field := range []string{"saddr", "daddr"} {
				add("nft insert rule %s %s %s %s %s accept comment '%q'", f.Table, f.entry, ip, field, p, Comment)
			}
		}
	}
	if f.Owner == "firewalld" {
		add("firewall-cmd --reload")
	}
	return out
}
