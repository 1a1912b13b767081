// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package evaluate

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// execution runs the expressions of one rule for one packet.
type execution struct {
	*machine
	state *state
	chain *ruleset.Chain
	rule  int
	draw  uint32 // the number that the rule draws
	regs  [64]byte
	hit   *element // found by the last lookup
}

// answer of an expression.
type answer uint8

const (
	next    answer = iota // the expression holds
	breaks                // the rule does not match
	decides               // the rule ends with e.move
	unknown               // the expression cannot be evaluated
)

// run returns what the rule leads to, and whether it matched.
func (e *execution) run(exprs []expr.Any) (move, bool) {
	on := move{state: e.state, kind: goesOn}
	acted := false
	for _, x := range exprs {
		mv, a := e.one(x)
		switch a {
		case breaks:
			return on, false
		case unknown:
			e.state.uncertain = append(e.state.uncertain, "rule of chain "+e.chain.Name+": "+e.table.text(e.chain, e.rule))
			return on, false
		case decides:
			e.note()
			mv.state = e.state
			return mv, true
		case next:
			acted = acted || acts(x)
		}
	}
	if acted {
		e.note()
	}
	return on, true
}

// acts reports whether an expression changes the packet, or what the table remembers.
func acts(x expr.Any) bool {
	switch x := x.(type) {
	case *expr.Meta:
		return x.SourceRegister
	case *expr.Dynset, *expr.Notrack:
		return true
	}
	return false
}

// note adds the rule to the steps of the packet.
func (e *execution) note() {
	s := Step{Hook: e.hooks, Chain: e.chain.Name, Rule: e.table.text(e.chain, e.rule)}
	if e.hit != nil {
		s.Element, s.Set, s.Owner = e.hit.String(), e.hit.Set.String(), e.hit.Comment
	}
	e.state.steps = append(e.state.steps, s)
}

// one executes an expression.
func (e *execution) one(x expr.Any) (move, answer) {
	switch x := x.(type) {
	case *expr.Meta:
		return move{}, e.meta(x)
	case *expr.Payload:
		return move{}, e.payload(x)
	case *expr.Ct:
		return move{}, e.ct(x)
	case *nft.CtOriginal:
		return move{}, e.ctOriginal(x)
	case *expr.Fib:
		return move{}, e.fib(x)
	case *expr.Numgen:
		return move{}, e.store(x.Register, binary.NativeEndian.AppendUint32(nil, e.draw+x.Offset))
	case *expr.Immediate:
		return move{}, e.store(x.Register, x.Data)
	case *expr.Bitwise:
		return move{}, e.bitwise(x)
	case *expr.Cmp:
		return move{}, e.cmp(x)
	case *expr.Lookup:
		return e.lookup(x)
	case *expr.Counter:
		return move{}, next
	case *expr.Notrack:
		e.state.untracked = true
		return move{}, next
	case *expr.Dynset:
		return move{}, next // the packet goes on, and the next one may find the entry
	case *expr.Verdict:
		return e.verdict(x)
	case *expr.NAT:
		return e.nat(x)
	case *expr.Masq, *nft.MasqueradePorts:
		e.state.masquerade = true
		return move{kind: ended, end: accepts}, decides
	case *expr.Reject:
		return e.final(Reject)
	}
	return move{}, unknown
}

func (e *execution) final(verdict string) (move, answer) {
	e.state.verdict = verdict
	return move{kind: ended, end: stops}, decides
}

func (e *execution) verdict(x *expr.Verdict) (move, answer) {
	switch x.Kind {
	case expr.VerdictAccept:
		return move{kind: ended, end: accepts}, decides
	case expr.VerdictDrop:
		return e.final(Drop)
	case expr.VerdictReturn:
		return move{kind: returned}, decides
	case expr.VerdictGoto:
		return move{kind: went, target: x.Chain}, decides
	case expr.VerdictJump:
		return move{kind: jumped, target: x.Chain}, decides
	case expr.VerdictContinue:
		return move{}, next
	case expr.VerdictBreak:
		return move{}, breaks
	}
	return move{}, unknown
}

// offset returns where a register begins in regs.
func offset(reg uint32) (int, bool) {
	switch {
	case reg >= unix.NFT_REG_1 && reg <= unix.NFT_REG_4:
		return int(reg-unix.NFT_REG_1) * 16, true
	case reg >= unix.NFT_REG32_00 && reg <= unix.NFT_REG32_15:
		return int(reg-unix.NFT_REG32_00) * 4, true
	}
	return 0, false
}

// store writes a register, padded with zeros to 4 bytes as in the kernel.
func (e *execution) store(reg uint32, data []byte) answer {
	i, ok := offset(reg)
	end := i + (len(data)+3)/4*4
	if !ok || end > len(e.regs) {
		return unknown
	}
	clear(e.regs[i:end])
	copy(e.regs[i:], data)
	return next
}

func (e *execution) load(reg uint32, n int) ([]byte, bool) {
	i, ok := offset(reg)
	if !ok || i+n > len(e.regs) {
		return nil, false
	}
	return e.regs[i : i+n], true
}

func (e *execution) bitwise(x *expr.Bitwise) answer {
	n := int(x.Len)
	src, ok := e.load(x.SourceRegister, n)
	if !ok || len(x.Mask) != n || len(x.Xor) != n {
		return unknown
	}
	out := make([]byte, n)
	for i := range out {
		out[i] = src[i]&x.Mask[i] ^ x.Xor[i]
	}
	return e.store(x.DestRegister, out)
}

func (e *execution) cmp(x *expr.Cmp) answer {
	have, ok := e.load(x.Register, len(x.Data))
	if !ok {
		return unknown
	}
	order := bytes.Compare(have, x.Data)
	holds, known := map[expr.CmpOp]bool{
		expr.CmpOpEq: order == 0, expr.CmpOpNeq: order != 0, expr.CmpOpLt: order < 0,
		expr.CmpOpLte: order <= 0, expr.CmpOpGt: order > 0, expr.CmpOpGte: order >= 0,
	}[x.Op]
	switch {
	case !known:
		return unknown
	case holds:
		return next
	}
	return breaks
}

// lookup finds the key in a set or map.
func (e *execution) lookup(x *expr.Lookup) (move, answer) {
	set, ok := ruleset.SetNamed(x.SetName)
	if !ok || !e.table.found.Sets[set] {
		return move{}, unknown
	}
	b, ok := e.load(x.SourceRegister, ruleset.KeyLen(set.Spec().Key, set.Family))
	if !ok {
		return move{}, unknown
	}
	found, isRange := e.table.find(set, b)
	if has := found != nil || isRange; has == x.Invert {
		return move{}, breaks
	}
	e.hit = found
	switch {
	case !x.IsDestRegSet || x.Invert:
		return move{}, next
	case found == nil:
		return move{}, unknown
	case !set.Spec().Verdict:
		return move{}, e.store(x.DestRegister, dataOf(set, found.Data))
	case found.stray != nil && found.stray.Verdict != nil:
		return e.verdict(found.stray.Verdict)
	case found.Verdict == ruleset.VerdictDrop:
		return e.final(Drop)
	case found.Verdict == "":
		return move{}, unknown
	}
	return move{kind: went, target: found.Verdict}, decides
}

// dataOf returns an address, and a port if the map has one, as they stand in registers.
func dataOf(set ruleset.Set, a netip.AddrPort) []byte {
	b := a.Addr().AsSlice()
	if len(set.Spec().Data) == 1 {
		return b
	}
	return append(b, byte(a.Port()>>8), byte(a.Port()), 0, 0)
}

// nat translates the destination.
func (e *execution) nat(x *expr.NAT) (move, answer) {
	family := inet.FamilyOf(e.state.packet.Dst.IP)
	a, ok := e.load(x.RegAddrMin, family.AddrLen())
	if x.Type != expr.NATTypeDestNAT || x.RegAddrMin == 0 || !ok {
		return move{}, unknown
	}
	to, _ := netip.AddrFromSlice(a)
	e.state.packet.Dst.IP = to
	if x.RegProtoMin != 0 {
		p, ok := e.load(x.RegProtoMin, 2)
		if !ok {
			return move{}, unknown
		}
		e.state.packet.Dst.Port = binary.BigEndian.Uint16(p)
	}
	e.state.dnat = true
	return move{kind: ended, end: accepts}, decides
}
