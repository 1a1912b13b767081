// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// TraceMatch selects packets to follow.
type TraceMatch struct {
	From netip.Prefix // any source if not valid
	// To is the address and port that the sender dials. Without an IP it is each address
	// of this node, and without a protocol each packet to the IP.
	To inet.Addr
	// All follows all packets of TCP, and not only those that open a connection. Only the
	// first packet of a connection meets the chains that choose an endpoint.
	All bool
}

// Trace bounds what is followed.
type Trace struct {
	Matches []TraceMatch
	// PerSecond and Burst bound how many packets the kernel reports.
	PerSecond, Burst uint32
}

const chainFollow = "follow"

// Chains returns the chains of a table of its own that mark packets for tracing. The last
// ones have hooks, in front of all chains of other tables.
func (t *Trace) Chains() []Chain {
	set := &expr.Immediate{Register: reg1, Data: []byte{1}}
	mark := Chain{Name: chainFollow, Rules: []rule{{Exprs: []expr.Any{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(t.PerSecond), Unit: expr.LimitTimeSecond, Burst: t.Burst},
		set, &expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: reg1},
	}}}}
	var rules []rule
	for i := range t.Matches {
		rules = append(rules, rule{Exprs: append(t.Matches[i].exprs(), gotoChain(chainFollow)...)})
	}
	const first = nftables.ChainPriority(-390) // behind the reassembly of fragments at -400
	return []Chain{
		mark,
		{Name: "trace", Hook: &Hook{Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: first}, Rules: rules},
		{Name: "trace-output", Hook: &Hook{Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookOutput, Priority: first}, Rules: rules},
	}
}

func (m *TraceMatch) exprs() []expr.Any {
	var out []expr.Any
	add := func(es []expr.Any) { out = append(out, es...) }
	is := func(data []byte) { out = append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data}) }
	switch {
	case m.To.IP.IsValid():
		f := inet.FamilyOf(m.To.IP)
		add(onlyFamily(f))
		add(daddr(f, reg1))
		is(m.To.IP.AsSlice())
	default:
		if m.From.IsValid() {
			add(onlyFamily(inet.FamilyOf(m.From.Addr())))
		}
		add(localAddress(false))
	}
	if m.From.IsValid() {
		p := m.From.Masked()
		f := inet.FamilyOf(p.Addr())
		add(saddr(f, reg1))
		n := AddrLen(f)
		out = append(out, &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: n, Mask: netMask(p), Xor: make([]byte, n)})
		is(p.Addr().AsSlice())
	}
	if m.To.Proto == 0 {
		return out
	}
	add(protocol(byte(m.To.Proto)))
	if m.To.Port != 0 {
		out = append(out, &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
		is(binary.BigEndian.AppendUint16(nil, m.To.Port))
	}
	if byte(m.To.Proto) == unix.IPPROTO_TCP && !m.All {
		const flagsAt, syn, synAck = 13, 0x02, 0x12
		out = append(out, &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: flagsAt, Len: 1},
			&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 1, Mask: []byte{synAck}, Xor: []byte{0}})
		is([]byte{syn})
	}
	return out
}

// netMask returns the mask of a prefix.
func netMask(p netip.Prefix) []byte {
	out := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		out[i/8] |= 0x80 >> (i % 8)
	}
	return out
}
