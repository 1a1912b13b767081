// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// diverter is an expression that keeps a packet from the translation of another table:
// packets without connection tracking are not translated, and the first translation of a
// packet is its only one.
type diverter struct {
	kind   verdictKind
	family uint32 // NFPROTO_..., of packets that it concerns; 0 for all
}

// newDiverter reads an expression, and returns false for any other one.
func newDiverter(name string, data []byte) (diverter, bool) {
	switch name {
	case "notrack":
		return diverter{kind: untrack}, true
	case "redir":
		return diverter{kind: translate}, true
	case "nat", "tproxy":
		kind := uint16(unix.NFTA_NAT_FAMILY)
		if name == "tproxy" {
			kind = nftaTproxyFamily
		}
		family := nl.BE32(nl.Attr(data, kind))
		if family == unix.NFPROTO_INET {
			family = 0
		}
		return diverter{kind: translate, family: family}, true
	}
	return diverter{}, false
}

// nftaTproxyFamily is NFTA_TPROXY_FAMILY.
const nftaTproxyFamily = 1

func (d diverter) concerns(p packet) bool {
	return d.family == 0 || (d.family == unix.NFPROTO_IPV4) == p.src.Is4()
}

// diversion is the rule that diverts a packet.
type diversion struct {
	kind  verdictKind
	chain string
	rule  rule
}

// Target is an address of a Service that pods connect to.
type Target struct {
	Name  string
	Addr  netip.AddrPort
	Proto byte // IPPROTO_TCP, ...
}

func (t Target) String() string { return fmt.Sprintf("%s (%s/%s)", t.Name, t.Addr, protoName(t.Proto)) }

// Diversion is a rule of another program that keeps packets of pods to Services from the
// translation.
type Diversion struct {
	Table, Chain string
	Rule         int    // number in its chain, from 1
	Handle       uint64 // 0 where there are none
	Untracked    bool   // it turns connection tracking off; else it translates the packets itself
	Certain      bool   // false: rules that are not understood may let the packets pass
	Example      Target
	Targets      int // that it diverts, of those that were tried
}

// Problem describes the rule.
func (d *Diversion) Problem() string {
	verb, consequence := "translates", " before fairlead can"
	if d.Untracked {
		verb, consequence = "turns connection tracking off for", ", so fairlead does not translate them"
	}
	if !d.Certain {
		verb = "may be one that " + verb
	}
	more := ""
	if d.Targets > 1 {
		more = fmt.Sprintf(" and %d more", d.Targets-1)
	}
	return fmt.Sprintf("rule %d of chain %s in table %s %s packets of pods to %s%s%s", d.Rule, d.Chain, d.Table, verb, d.Example, more, consequence)
}

// Remedy is the command that removes the rule.
func (d *Diversion) Remedy() []string {
	return []string{
		fmt.Sprintf("nft delete rule %s %s handle %d", d.Table, d.Chain, d.Handle),
		"or configure the program that owns the table so that it leaves the addresses of Services alone",
	}
}

// Diverted returns the rules of other programs that divert packets of pods of this node to
// targets before the table own gets them, in the current network namespace: those that turn
// connection tracking off, and translations at the priority of own's or before.
func Diverted(own string, c Config, targets []Target) ([]Diversion, error) {
	r, err := load(0, own, divertingBase)
	if err != nil {
		return nil, err
	}
	return r.diverted(c, targets), nil
}

// divertingBase returns the empty table of a chain that may divert packets at prerouting.
func divertingBase(c *nftables.Chain) (*table, hook) {
	if c.Hooknum == nil || c.Priority == nil || *c.Hooknum != *nftables.ChainHookPrerouting {
		return nil, ""
	}
	tracks := c.Type == nftables.ChainTypeFilter && *c.Priority < priorityConntrack
	translates := c.Type == nftables.ChainTypeNAT && *c.Priority <= priorityNAT
	if !tracks && !translates {
		return nil, ""
	}
	return tableOf(c), preroutingHook
}

func (r *Ruleset) diverted(c Config, targets []Target) []Diversion {
	var out []Diversion
	for _, t := range r.tables {
		for _, name := range sortedBases(t) {
			out = append(out, r.divertedBy(t, t.chains[name], c, targets)...)
		}
	}
	return out
}

// divertedBy returns the rules behind one base chain that divert packets.
func (r *Ruleset) divertedBy(t *table, base *chain, c Config, targets []Target) []Diversion {
	type key struct {
		chain string
		rule  int
	}
	var out []Diversion
	at := map[key]int{}
	for _, target := range targets {
		p, ok := c.toTarget(target, r.indexes)
		if !ok || !t.sees(p) {
			continue
		}
		p.early = base.priority <= priorityConntrack
		w := walk{table: t, packet: p}
		w.run(base)
		d := w.diverted
		if d == nil {
			continue
		}
		i, known := at[key{d.chain, d.rule.number}]
		if !known {
			i = len(out)
			at[key{d.chain, d.rule.number}] = i
			out = append(out, Diversion{
				Table: t.String(), Chain: d.chain, Rule: d.rule.number, Handle: d.rule.handle, Untracked: d.kind == untrack, Example: target,
			})
		}
		out[i].Targets++
		out[i].Certain = out[i].Certain || !w.unsure
	}
	return out
}

// toTarget returns the first packet of a pod to a target.
func (c Config) toTarget(t Target, indexes map[string]uint32) (packet, bool) {
	for _, cidr := range c.PodCIDRs {
		if pod := cidr.Masked().Addr().Next().Next(); pod.Is4() == t.Addr.Addr().Is4() {
			pods := device{name: c.PodDevice, index: nowhere}
			if i, ok := indexes[c.PodDevice]; ok {
				pods.index = i
			}
			return packet{hook: preroutingHook, src: pod, dst: t.Addr.Addr(), dport: t.Addr.Port(), proto: t.Proto, iif: pods}, true
		}
	}
	return packet{}, false
}
