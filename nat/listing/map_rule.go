// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

func (m *Mapper) chain(c *ruleset.Chain) *ruleset.Chain {
	out := &ruleset.Chain{Name: m.chainName(c.Name), Hook: c.Hook}
	for _, r := range c.Rules {
		exprs := r.Exprs
		if m.Redacted {
			var ok bool
			if exprs, ok = m.rule(r.Exprs); !ok {
				exprs = []expr.Any{nft.NewForeign("redacted")}
			}
		}
		out.AddRule(m.names(exprs))
	}
	return out
}

// names maps the names of other programs' chains and sets that a rule refers to.
func (m *Mapper) names(exprs []expr.Any) []expr.Any {
	out := make([]expr.Any, len(exprs))
	for i, e := range exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			c := *e
			c.Chain = m.chainName(c.Chain)
			out[i] = &c
		case *expr.Lookup:
			c := *e
			c.SetName = m.setName(c.SetName)
			out[i] = &c
		case *expr.Dynset:
			c := *e
			c.SetName = m.setName(c.SetName)
			out[i] = &c
		default:
			out[i] = e
		}
	}
	return out
}

func (m *Mapper) setName(name string) string {
	if _, ok := ruleset.SetNamed(name); ok {
		return name
	}
	return m.Text(name)
}

// loaded is what a register holds of an address: its first bytes, and how many bits of
// them a mask leaves.
type loaded struct{ size, bits, family int }

// rule maps the addresses that a rule compares packets with, and those that it sends them
// to. It reports false for a rule with bytes that may be an address in another way.
func (m *Mapper) rule(exprs []expr.Any) ([]expr.Any, bool) {
	r := ruleMapper{Mapper: m, out: slices.Clone(exprs), values: map[uint32]int{}}
	for i := range exprs {
		if !r.read(i) {
			return nil, false
		}
	}
	return r.out, true
}

// ruleMapper maps one rule in order.
type ruleMapper struct {
	*Mapper
	registers[loaded]
	out    []expr.Any
	values map[uint32]int // where an immediate value comes from, by register
}

// read reads an expression, and reports whether it is understood.
func (r *ruleMapper) read(i int) bool {
	switch e := r.out[i].(type) {
	case *nft.Foreign:
		return false
	case *expr.Payload:
		if e.OperationType == expr.PayloadWrite {
			_, constant := r.values[e.SourceRegister]
			return !constant // which may be an address
		}
		l, ok := addressOf(e)
		return ok && r.load(e.DestRegister, l)
	case *expr.Ct:
		return e.SourceRegister || r.load(e.Register, ctAddress(e.Key))
	case *nft.CtOriginal:
		return r.load(e.Register, ctAddress(e.Key))
	case *expr.Meta:
		return e.SourceRegister || r.load(e.Register, loaded{})
	case *expr.Fib:
		return r.load(e.Register, loaded{})
	case *expr.Numgen:
		return r.load(e.Register, loaded{})
	case *expr.Lookup:
		return !e.IsDestRegSet || e.DestRegister == 0 || r.load(e.DestRegister, loaded{})
	case *expr.Byteorder:
		return r.load(e.DestRegister, r.held(e.SourceRegister))
	case *expr.Bitwise:
		l := r.held(e.SourceRegister)
		return (l.size == 0 || l.mask(e)) && r.load(e.DestRegister, l)
	case *expr.Cmp:
		return r.cmp(i, e)
	case *expr.Immediate:
		r.values[e.Register] = i
		return r.load(e.Register, loaded{})
	case *expr.NAT:
		return r.target(e)
	}
	return true
}

func (r *ruleMapper) cmp(i int, e *expr.Cmp) bool {
	l := r.held(e.Register)
	if l.size == 0 {
		return true
	}
	c := *e
	c.Data = r.bytes(e.Data, l)
	r.out[i] = &c
	return c.Data != nil
}

// addressOf says which address a rule loads from a packet. ok is false for bytes that may
// have one among others.
func addressOf(e *expr.Payload) (l loaded, ok bool) {
	if e.OperationType != expr.PayloadLoad {
		return l, false
	}
	n := int(e.Len)
	switch {
	case e.Base == expr.PayloadBaseTransportHeader:
		return l, n < 4 // not the packet in an ICMP error
	case e.Base != expr.PayloadBaseNetworkHeader:
		return l, false
	case (e.Offset == 12 || e.Offset == 16) && n <= 4:
		return loaded{size: n, bits: 8 * n, family: unix.NFPROTO_IPV4}, true
	case (e.Offset == 8 || e.Offset == 24) && n > 2 && n <= 16:
		return loaded{size: n, bits: 8 * n, family: unix.NFPROTO_IPV6}, true
	}
	return l, n < 4
}

func ctAddress(key expr.CtKey) loaded {
	switch key {
	case nft.CtKeySrcIP, nft.CtKeyDstIP:
		return loaded{size: 4, bits: 32, family: unix.NFPROTO_IPV4}
	case nft.CtKeySrcIP6, nft.CtKeyDstIP6, expr.CtKeySRC, expr.CtKeyDST:
		return loaded{size: 16, bits: 128, family: unix.NFPROTO_IPV6}
	}
	return loaded{}
}

// mask applies the mask of a prefix, and reports false for another one.
func (l *loaded) mask(e *expr.Bitwise) bool {
	if len(e.Mask) != l.size {
		return false
	}
	ones, over := 0, false
	for i, b := range e.Mask {
		n := bits.LeadingZeros8(^b)
		if over && b != 0 || bits.OnesCount8(b) != n || i < len(e.Xor) && e.Xor[i] != 0 {
			return false
		}
		ones, over = ones+n, over || n < 8
	}
	l.bits = ones
	return true
}

// bytes maps the first bytes of an address. It returns nil if they are none.
func (m *Mapper) bytes(data []byte, l loaded) []byte {
	if len(data) != l.size {
		return nil
	}
	full := make([]byte, 4)
	if l.family == unix.NFPROTO_IPV6 {
		full = make([]byte, 16)
	}
	copy(full, data)
	ip, _ := netip.AddrFromSlice(full)
	out := m.Prefix(netip.PrefixFrom(ip, l.bits)).Addr().AsSlice()
	return out[:l.size]
}

// target maps the address of a rule that gives packets another one.
func (r *ruleMapper) target(e *expr.NAT) bool {
	for _, reg := range []uint32{e.RegAddrMin, e.RegAddrMax} {
		i, ok := r.values[reg]
		if reg == 0 || !ok {
			continue
		}
		c := *r.out[i].(*expr.Immediate)
		ip, ok := netip.AddrFromSlice(c.Data)
		if !ok {
			return false
		}
		c.Data = r.Addr(ip).AsSlice()
		r.out[i] = &c
		delete(r.values, reg)
	}
	return true
}
