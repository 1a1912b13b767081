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
	"fairlead/internal/nft"
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
	// Replies follows what comes back on the same connections, too. Without All these are
	// the answers that open a connection of TCP.
	Replies bool
	// PerSecond and Burst bound how many packets the kernel reports.
	PerSecond, Burst uint32
}

// TraceBegin is the chain in which following a packet begins.
const TraceBegin = "follow"

// Chains returns the chains of a table of its own that mark packets for tracing. The last
// ones have hooks, in front of all chains of other tables.
func (t *Trace) Chains() []Chain {
	set := &expr.Immediate{Register: reg1, Data: []byte{1}}
	mark := Chain{Name: TraceBegin, Rules: []rule{{Exprs: []expr.Any{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(t.PerSecond), Unit: expr.LimitTimeSecond, Burst: t.Burst},
		set, &expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: reg1},
	}}, {Exprs: one(&expr.Verdict{Kind: expr.VerdictAccept})}}} // the first step that is reported
	var rules []rule
	for i := range t.Matches {
		rules = append(rules, rule{Exprs: append(t.Matches[i].exprs(), gotoChain(TraceBegin)...)})
	}
	const first = nftables.ChainPriority(-390) // behind the reassembly of fragments at -400
	out := append([]Chain{mark}, hooked("trace", first, rules)...)
	if t.Replies {
		rules = nil
		for i := range t.Matches {
			rules = append(rules, rule{Exprs: append(t.Matches[i].replies(), gotoChain(TraceBegin)...)})
		}
		const tracked = nftables.ChainPriority(-190) // behind connection tracking at -200
		out = append(out, hooked("trace-reply", tracked, rules)...)
	}
	return out
}

// hooked returns chains that see all packets that come to the node or begin on it.
func hooked(name string, priority nftables.ChainPriority, rules []rule) []Chain {
	return []Chain{
		{Name: name, Hook: &Hook{Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: priority}, Rules: rules},
		{Name: name + "-output", Hook: &Hook{Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookOutput, Priority: priority}, Rules: rules},
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
		add(tcpFlags(flagSYN))
	}
	return out
}

// Flags of TCP (RFC 9293).
const (
	flagSYN = 0x02
	flagACK = 0x10
)

// tcpFlags matches packets of TCP that have of SYN and ACK those that are set in flags.
func tcpFlags(flags byte) []expr.Any {
	const flagsAt = 13
	return one(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: flagsAt, Len: 1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 1, Mask: []byte{flagSYN | flagACK}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{flags}})
}

// replies matches what comes back to packets that exprs matches. A reply has the address
// of the endpoint; connection tracking knows what the client dialled.
func (m *TraceMatch) replies() []expr.Any {
	out := isReply()
	is := func(data []byte) { out = append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data}) }
	if m.To.IP.IsValid() {
		f := inet.FamilyOf(m.To.IP)
		out = append(append(out, onlyFamily(f)...), ctOriginal(pickKey(f, nft.CtKeyDstIP, nft.CtKeyDstIP6), reg1)...)
		is(m.To.IP.AsSlice())
	}
	if m.From.IsValid() {
		p := m.From.Masked()
		f := inet.FamilyOf(p.Addr())
		if !m.To.IP.IsValid() {
			out = append(out, onlyFamily(f)...)
		}
		n := AddrLen(f)
		out = append(out, ctOriginal(pickKey(f, nft.CtKeySrcIP, nft.CtKeySrcIP6), reg1)...)
		out = append(out, &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: n, Mask: netMask(p), Xor: make([]byte, n)})
		is(p.Addr().AsSlice())
	}
	if m.To.Proto == 0 {
		return out
	}
	out = append(out, protocol(byte(m.To.Proto))...)
	if m.To.Port != 0 {
		out = append(out, ctOriginal(expr.CtKeyPROTODST, reg1)...)
		is(binary.BigEndian.AppendUint16(nil, m.To.Port))
	}
	if byte(m.To.Proto) == unix.IPPROTO_TCP && !m.All {
		out = append(out, tcpFlags(flagSYN|flagACK)...)
	}
	return out
}

func pickKey(f inet.Family, v4, v6 expr.CtKey) expr.CtKey {
	if f == inet.IPv6 {
		return v6
	}
	return v4
}

// netMask returns the mask of a prefix.
func netMask(p netip.Prefix) []byte {
	out := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		out[i/8] |= 0x80 >> (i % 8)
	}
	return out
}
