// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"strings"
)

// answer says whether a rule matches a packet.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// verdict is the fate of a packet that a rule matches.
type verdict struct {
	kind  verdictKind
	chain string // of jump and goto
}

type verdictKind int

const (
	goOn verdictKind = iota // the next rule
	accept
	drop
	jump
	leap // goto
	back // return

	untrack   // the rule turns connection tracking off, and the next one follows
	translate // the rule gives the packet another destination
)

// rule decides about a packet.
type rule struct {
	number int    // in its chain, from 1
	handle uint64 // 0 where there are none
	eval   func(packet) (answer, verdict)
}

// chain is a base chain of one of the hooks, or a chain that one may jump to.
type chain struct {
	name     string
	rules    []rule
	base     bool
	hook     hook
	priority int32
	policy   verdictKind
}

// Priorities of connection tracking and of translation (NF_IP_PRI_CONNTRACK, ..._RAW,
// ..._NAT_DST).
const (
	priorityRaw       = -300
	priorityConntrack = -200
	priorityNAT       = -100
)

// sees returns the packet as the base chain gets it, and false if it does not.
func (c *chain) sees(p packet) (packet, bool) {
	if c.hook != p.at() {
		return p, false
	}
	if c.hook == preroutingHook {
		p.early = c.priority <= priorityConntrack
		if p.untracked && c.priority > priorityRaw {
			p.early = false // notrack is set at raw
		}
		if p.port.Use == NodePort && c.priority >= priorityNAT {
			return p, false // translated
		}
	}
	return p, true
}

// table is the chains that can jump to each other.
type table struct {
	family string // "ip", "ip6", "inet"
	name   string
	legacy bool
	chains map[string]*chain
}

func (t *table) String() string {
	if t.legacy {
		return map[string]string{"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}[t.family] + " " + t.name
	}
	return t.family + " " + t.name
}

// sees reports whether the table's chains get a packet.
func (t *table) sees(p packet) bool {
	return t.family == "inet" || (t.family == "ip") == p.src.Is4()
}

// walk is one packet on its way through a base chain.
type walk struct {
	table    *table
	packet   packet
	steps    int
	unsure   bool       // an earlier rule may have accepted the packet
	where    string     // the place of the drop
	diverted *diversion // by a rule that turned tracking off or translated the packet
}

const (
	deepest  = 16     // NFT_JUMP_STACK_SIZE
	maxSteps = 100000 // a bound for rulesets that grow exponentially
)

// run returns accept or drop for a base chain.
func (w *walk) run(c *chain) verdictKind {
	switch kind := w.chain(c, 0, yes); kind {
	case accept, drop:
		return kind
	}
	w.where = "policy drop"
	return c.policy
}

// chain returns accept, drop, or goOn for a packet that comes out at the end.
// sure says how certain it is that the packet enters the chain.
func (w *walk) chain(c *chain, depth int, sure answer) verdictKind {
	if c == nil || depth > deepest {
		return goOn
	}
	for _, r := range c.rules {
		if w.steps++; w.steps > maxSteps {
			w.unsure = true
			return goOn
		}
		matched, v := r.eval(w.packet)
		matched = min(matched, sure)
		if matched == no {
			continue
		}
		kind := v.kind
		if kind == jump || kind == leap {
			kind = w.chain(w.table.chains[v.chain], depth+1, matched)
			if v.kind == leap && kind == goOn {
				kind = back
			}
		}
		if matched == maybe {
			if kind == accept {
				w.unsure = true
			}
			continue // a rule that only may drop a packet is not reported
		}
		w.divert(c, r, kind)
		switch kind {
		case accept, translate:
			return accept
		case drop:
			if w.where == "" {
				w.where = place(c, r)
			}
			return drop
		case back:
			// At the end of a base chain its policy counts.
			return goOn
		}
	}
	return goOn
}

// divert notes the first rule that turns tracking off or translates the packet.
func (w *walk) divert(c *chain, r rule, kind verdictKind) {
	if w.diverted == nil && (kind == untrack || kind == translate) {
		w.diverted = &diversion{kind: kind, chain: c.name, rule: r}
	}
}

func place(c *chain, r rule) string {
	s := fmt.Sprintf("rule %d of chain %s", r.number, c.name)
	if r.handle != 0 {
		s += fmt.Sprintf(" (handle %d)", r.handle)
	}
	return s
}

// jumpsFirst reports whether base chain c hands a packet to another chain before
// it does anything with it.
func (t *table) jumpsFirst(c *chain, name string, p packet) bool {
	for _, r := range c.rules {
		matched, v := r.eval(p)
		if matched == yes && v.kind == jump && v.chain == name {
			return true
		}
		if matched != no && v.kind != goOn && v.kind != jump {
			return false
		}
	}
	return false
}

// has reports whether the table has a chain whose name has that prefix.
func (t *table) has(prefix string) bool {
	for name := range t.chains {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
