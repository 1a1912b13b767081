// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// opaque is an expression that Check does not understand, or that depends on more than
// one packet shows. It may match.
type opaque struct{ name string }

// neutral is an expression that always matches and has no effect on the verdict.
type neutral struct{}

// set is a set or map by its elements.
type set struct {
	elements []nftables.SetElement
	interval bool
	mapping  bool
}

// program evaluates the expressions of a rule. sets are those of its table.
func program(exprs []any, sets map[string]*set) func(packet) (answer, verdict) {
	return func(p packet) (answer, verdict) {
		m, sure := &machine{}, yes
		for _, e := range exprs {
			matched, v, done := m.step(e, p, sets)
			if sure = min(sure, matched); sure == no || done {
				return sure, v
			}
		}
		return sure, verdict{}
	}
}

// step evaluates one expression. done reports that there is a verdict.
func (m *machine) step(e any, p packet, sets map[string]*set) (matched answer, v verdict, done bool) {
	switch e := e.(type) {
	case *expr.Verdict:
		return yes, verdictOf(e), true
	case diverter:
		return yes, verdict{kind: e.kind}, e.concerns(p)
	case *expr.Reject:
		return yes, verdict{kind: drop}, true
	case *expr.Target:
		return target(e)
	case *expr.Match:
		return match(e, p), verdict{}, false
	case *expr.Cmp:
		return compare(m.load(e.Register, len(e.Data)), e.Op, e.Data), verdict{}, false
	case *expr.Range:
		d := m.load(e.Register, len(e.FromData))
		in := min(compare(d, expr.CmpOpGte, e.FromData), compare(d, expr.CmpOpLte, e.ToData))
		return unless(in, e.Op == expr.CmpOpNeq), verdict{}, false
	case *expr.Lookup:
		return m.lookup(e, sets[e.SetName])
	case *opaque:
		*m = machine{} // it may have written to a register
		return maybe, verdict{}, false
	}
	m.compute(e, p)
	return yes, verdict{}, false
}

// compute evaluates an expression that only fills a register.
func (m *machine) compute(e any, p packet) {
	switch e := e.(type) {
	case *expr.Meta:
		if !e.SourceRegister {
			m.store(e.Register, p.meta(e.Key))
		}
	case *expr.Ct:
		if !e.SourceRegister {
			m.store(e.Register, p.conntrack(e.Key))
		}
	case *expr.Payload:
		if e.OperationType == expr.PayloadLoad {
			m.store(e.DestRegister, p.payload(e.Base, int(e.Offset), int(e.Len)))
		}
	case *expr.Fib:
		d := unknown(16)
		if e.ResultADDRTYPE {
			d = native(rtnUnicast) // neither end is an address of this node
			if e.FlagDADDR && p.local {
				d = native(rtnLocal)
			}
		}
		m.store(e.Register, d)
	case *expr.Immediate:
		m.store(e.Register, known(e.Data))
	case *expr.Bitwise:
		m.bitwise(e)
	case *expr.Byteorder:
		d := m.load(e.SourceRegister, int(e.Len))
		for i := 0; e.Size > 0 && i+int(e.Size) <= len(d.value) && native(1).value[0] == 1; i += int(e.Size) {
			slices.Reverse(d.value[i : i+int(e.Size)])
			slices.Reverse(d.known[i : i+int(e.Size)])
		}
		m.store(e.DestRegister, d)
	}
}

// Types of routes (rtnetlink(7)).
const (
	rtnUnicast = 1
	rtnLocal   = 2
)

// bitwise is the operation with mask and xor; the others are not known to the
// library and leave their result unknown.
func (m *machine) bitwise(e *expr.Bitwise) {
	d := m.load(e.SourceRegister, int(e.Len))
	if len(e.Mask) != len(d.value) || len(e.Xor) != len(d.value) {
		d = unknown(int(e.Len))
	} else {
		for i := range d.value {
			d.value[i] = d.value[i]&e.Mask[i] ^ e.Xor[i]
			d.known[i] = d.known[i] || e.Mask[i] == 0
		}
	}
	m.store(e.DestRegister, d)
}

// compare compares as memcmp does.
func compare(d datum, op expr.CmpOp, with []byte) answer {
	if op == expr.CmpOpEq || op == expr.CmpOpNeq {
		return unless(equal(d, with), op == expr.CmpOpNeq)
	}
	if !d.isKnown() {
		return maybe
	}
	c := bytes.Compare(d.value, with)
	ok := op == expr.CmpOpLt && c < 0 || op == expr.CmpOpLte && c <= 0 || op == expr.CmpOpGt && c > 0 || op == expr.CmpOpGte && c >= 0
	return sure(ok)
}

func equal(d datum, with []byte) answer {
	out := yes
	for i := range with {
		switch {
		case i >= len(d.value):
			return no
		case !d.known[i]:
			out = maybe
		case d.value[i] != with[i]:
			return no
		}
	}
	return out
}

func sure(b bool) answer {
	if b {
		return yes
	}
	return no
}

// unless inverts an answer.
func unless(a answer, invert bool) answer {
	if invert {
		return yes - a
	}
	return a
}

// lookup finds the register's value in a set or map.
func (m *machine) lookup(e *expr.Lookup, s *set) (answer, verdict, bool) {
	if s == nil {
		return maybe, verdict{}, false
	}
	found, element := s.find(func(n int) datum { return m.load(e.SourceRegister, n) })
	if !e.IsDestRegSet {
		return unless(found, e.Invert), verdict{}, false
	}
	switch {
	case found != yes && e.DestRegister == 0:
		// Any verdict of the map is possible; an accepting one decides.
		return found, verdict{kind: s.best()}, found == maybe
	case found != yes:
		m.store(e.DestRegister, unknown(16))
		return found, verdict{}, false
	case element.VerdictData != nil:
		return yes, verdictOf(element.VerdictData), true
	}
	m.store(e.DestRegister, known(element.Val))
	return yes, verdict{}, false
}

// best returns accept if any verdict of the map does or may.
func (s *set) best() verdictKind {
	for _, e := range s.elements {
		if e.VerdictData != nil && verdictOf(e.VerdictData).kind != drop {
			return accept
		}
	}
	return drop
}

// find looks for a value. In an interval set elements are the ends of ranges.
func (s *set) find(load func(n int) datum) (answer, nftables.SetElement) {
	out := no
	var best *nftables.SetElement
	for i := range s.elements {
		e := &s.elements[i]
		d := load(len(e.Key))
		switch {
		case len(e.KeyEnd) > 0 && !bytes.Equal(e.Key, e.KeyEnd):
			out = max(out, maybe) // ranges of several fields
		case !s.interval || len(e.KeyEnd) > 0:
			if a := equal(d, e.Key); a == yes {
				return yes, *e
			} else if a == maybe {
				out = maybe
			}
		case !d.isKnown():
			out = maybe
		case bytes.Compare(e.Key, d.value) > 0:
		case best == nil || bytes.Compare(e.Key, best.Key) > 0 || bytes.Equal(e.Key, best.Key) && best.IntervalEnd:
			best = e
		}
	}
	if best != nil && !best.IntervalEnd {
		return yes, *best
	}
	return out, nftables.SetElement{}
}

func verdictOf(v *expr.Verdict) verdict {
	switch v.Kind {
	case expr.VerdictAccept, expr.VerdictStop, expr.VerdictQueue, expr.VerdictStolen:
		return verdict{kind: accept} // or another program decides
	case expr.VerdictDrop:
		return verdict{kind: drop}
	case expr.VerdictJump:
		return verdict{kind: jump, chain: v.Chain}
	case expr.VerdictGoto:
		return verdict{kind: leap, chain: v.Chain}
	case expr.VerdictReturn:
		return verdict{kind: back}
	}
	return verdict{}
}
