// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat"
)

// protocol matches the transport protocol.
func protocol(p byte) []expr.Any {
	return append(l4proto(reg1), &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{p}})
}

// interfacePattern returns the bytes that the kernel compares an interface name
// with: all of them, or those before the star.
func interfacePattern(name string) []byte {
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		return []byte(prefix)
	}
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// isReply matches packets in the reply direction of a tracked flow. An untracked
// packet has no direction and does not match.
func isReply() []expr.Any {
	return one(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{1}})
}

// ctOriginal loads a field of the packet as the client sent it, before any rewriting.
func ctOriginal(key expr.CtKey, reg uint32) []expr.Any {
	return one(&nft.CtOriginal{Ct: expr.Ct{Key: key, Register: reg}})
}

// originalKey loads the address and port that the client dialled, like dialled does
// before DNAT, and returns the register behind them.
func originalKey(f inet.Family, node bool) ([]expr.Any, uint32) {
	if node {
		port := next(reg1, 4)
		return append(l4proto(reg1), ctOriginal(expr.CtKeyPROTODST, port)...), next(port, 2)
	}
	key := nft.CtKeyDstIP
	if f == inet.IPv6 {
		key = nft.CtKeyDstIP6
	}
	proto := next(reg1, AddrLen(f))
	port := next(proto, 4)
	es := append(ctOriginal(key, reg1), l4proto(proto)...)
	return append(es, ctOriginal(expr.CtKeyPROTODST, port)...), next(port, 2)
}

func originalText(f inet.Family, node bool) string {
	if node {
		return "meta l4proto . ct original proto-dst"
	}
	return "ct original " + ipWord(f) + " daddr . meta l4proto . ct original proto-dst"
}

func nfprotoWord(f inet.Family) string {
	if f == inet.IPv4 {
		return "ipv4"
	}
	return "ipv6"
}

// States of a connection, as bits (NF_CT_STATE_BIT).
const (
	stateInvalid = 1 << 0
	stateNew     = 1 << 3
)

func ctState(bit uint32) []expr.Any {
	return append(masked(&expr.Ct{Key: expr.CtKeySTATE, Register: reg1}, bit, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)})
}

// notLoopback skips loopback addresses unless those of IPv4 are served. After DNAT their packets
// would leave the node with a loopback source, which the kernel refuses to send by an
// interface without route_localnet. The text ends with a space unless it is empty.
func notLoopback(f inet.Family, served bool) (string, []expr.Any) {
	if served && f == inet.IPv4 {
		return "", nil
	}
	text, match := loopback(f, expr.CmpOpNeq, false)
	return text + " ", match
}

// loopback compares the source or destination with the loopback range.
func loopback(f inet.Family, op expr.CmpOp, source bool) (string, []expr.Any) {
	side, load, offset := "daddr", daddr(f, reg1), uint32(16)
	if source {
		side, load, offset = "saddr", saddr(f, reg1), 12
	}
	not := ""
	if op == expr.CmpOpNeq {
		not = "!= "
	}
	if f == inet.IPv6 {
		ip := netip.IPv6Loopback().As16()
		return "ip6 " + side + " " + not + "::1", append(load, &expr.Cmp{Op: op, Register: reg1, Data: ip[:]})
	}
	// nft compares the first byte only, as the prefix ends with it.
	return "ip " + side + " " + not + "127.0.0.0/8", one(
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1},
		&expr.Cmp{Op: op, Register: reg1, Data: []byte{127}})
}

// loopbackIndex is the index of the loopback device of every network namespace.
const loopbackIndex = 1

// notByLoopback matches packets that arrive (or leave) by another device than lo.
func notByLoopback(key expr.MetaKey) []expr.Any {
	return one(&expr.Meta{Key: key, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(loopbackIndex)})
}

// noRouteBack matches packets whose source address is not routed to the device that
// they arrive by.
func noRouteBack() []expr.Any {
	return one(&expr.Fib{Register: reg1, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: make([]byte, 4)})
}

// Registers. A 16-byte register number n covers the 4-byte ones 4n+4 to 4n+7.
const (
	reg1   = unix.NFT_REG_1        // first component
	reg2   = unix.NFT_REG_2        // after an IPv6 address
	reg32  = unix.NFT_REG32_00     // first 4-byte register, the same bytes as reg1
	after4 = unix.NFT_REG32_00 + 1 // after an IPv4 address
)

func one(e ...expr.Any) []expr.Any { return e }

// onlyFamily is the dependency that nft adds in an inet table before it looks
// into the network header; it does not print it.
func onlyFamily(f inet.Family) []expr.Any {
	proto := byte(unix.NFPROTO_IPV4)
	if f == inet.IPv6 {
		proto = unix.NFPROTO_IPV6
	}
	return one(
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{proto}},
	)
}

// AddrLen returns the length of an address in bytes, as expressions want it.
func AddrLen(f inet.Family) uint32 {
	if f == inet.IPv4 {
		return 4
	}
	return 16
}

// saddr and daddr load an address of the network header.
func saddr(f inet.Family, reg uint32) []expr.Any { return address(f, 12, 8, reg) }

func daddr(f inet.Family, reg uint32) []expr.Any { return address(f, 16, 24, reg) }

func address(f inet.Family, offset4, offset6, reg uint32) []expr.Any {
	offset := offset4
	if f == inet.IPv6 {
		offset = offset6
	}
	return one(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: AddrLen(f)})
}

// setDaddr writes the destination of the packet, and corrects the checksums of the network
// header and of the transport header, which covers the address.
func setDaddr(f inet.Family, reg uint32) []expr.Any {
	write := &expr.Payload{
		OperationType: expr.PayloadWrite, SourceRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: AddrLen(f),
		CsumFlags: unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR,
	}
	if f == inet.IPv4 {
		write.Offset, write.CsumType, write.CsumOffset = 16, expr.CsumTypeInet, 10
	}
	return one(write)
}

// l4proto loads the protocol; dport loads what TCP, UDP and SCTP all have at
// offset 2 of the transport header.
func l4proto(reg uint32) []expr.Any {
	return one(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg})
}

func dport(reg uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
}

// next returns the 4-byte register after a value of n bytes in register reg,
// by the name that nft gives it: where a 16-byte register begins, that one.
func next(reg, n uint32) uint32 {
	slot := reg
	if reg < reg32 {
		slot = reg32 + 4*(reg-reg1)
	}
	slot += (n + 3) / 4
	if (slot-reg32)%4 == 0 {
		return reg1 + (slot-reg32)/4
	}
	return slot
}

// dialled loads "daddr . proto . port" for VIPs or "proto . port" for
// NodePorts, and returns the register behind it.
func dialled(f inet.Family, node bool) ([]expr.Any, uint32) {
	if node {
		port := next(reg1, 4)
		return append(l4proto(reg1), dport(port)...), next(port, 2)
	}
	proto := next(reg1, AddrLen(f))
	port := next(proto, 4)
	es := append(daddr(f, reg1), l4proto(proto)...)
	return append(es, dport(port)...), next(port, 2)
}

func dialledText(f inet.Family, node bool) string {
	if node {
		return "meta l4proto . th dport"
	}
	return ipWord(f) + " daddr . meta l4proto . th dport"
}

// ipWord returns nft's word for the family's header.
func ipWord(f inet.Family) string {
	if f == inet.IPv4 {
		return "ip"
	}
	return "ip6"
}

func inSet(s Set) []expr.Any {
	return one(&expr.Lookup{SourceRegister: reg1, SetName: s.String()})
}

func notInSet(s Set) []expr.Any {
	return one(&expr.Lookup{SourceRegister: reg1, SetName: s.String(), Invert: true})
}

// mapped replaces the loaded key by what the map has for it. A lookup without result ends the rule.
func mapped(s Set) []expr.Any {
	return one(&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: s.String()})
}

func vmap(s Set) []expr.Any {
	return one(&expr.Lookup{SourceRegister: reg1, DestRegister: 0, IsDestRegSet: true, SetName: s.String()})
}

// dnatTo looks the loaded key up and sends the connection to the backend that it
// finds. A lookup without result ends the rule.
func dnatTo(s Set) []expr.Any {
	nfproto := uint32(unix.NFPROTO_IPV4)
	if s.Family == inet.IPv6 {
		nfproto = unix.NFPROTO_IPV6
	}
	return append(mapped(s),
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: nfproto, RegAddrMin: reg1, RegProtoMin: next(reg1, AddrLen(s.Family))},
	)
}

func randomBelow(modulus, reg uint32) []expr.Any {
	return one(&expr.Numgen{Register: reg, Modulus: modulus, Type: unix.NFT_NG_RANDOM})
}

// localAddress matches when the address (of the flag: source or destination)
// is one of this node, by the routing table.
func localAddress(source bool) []expr.Any {
	fib := &expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: !source, FlagSADDR: source}
	return one(fib, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)})
}

// notUnicast matches packets that end on this node: those for one of its addresses,
// for a broadcast address or for a multicast group.
func notUnicast() []expr.Any {
	return one(&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_UNICAST)})
}

// setMarkBit sets one bit of the packet mark and keeps the others.
func setMarkBit(mark uint32) []expr.Any { return changeMark(^mark, mark) }

func clearMarkBit(mark uint32) []expr.Any { return changeMark(^mark, 0) }

func changeMark(mask, xor uint32) []expr.Any {
	return append(masked(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}, mask, xor),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg1})
}

// hasMarkBit matches packets with the bit set.
func hasMarkBit(mark uint32) []expr.Any {
	return append(masked(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}, mark, 0),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(mark)})
}

// Bits of a flow's status (enum ip_conntrack_status).
const (
	ipsSourceNAT = 1 << 4 // IPS_SRC_NAT
	ipsDstNAT    = 1 << 5 // IPS_DST_NAT
)

// ctStatus matches flows with one of the bits.
func ctStatus(bits uint32) []expr.Any {
	return append(masked(&expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, bits, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)})
}

// ctStatusDNAT matches flows whose destination was rewritten, by any program.
func ctStatusDNAT() []expr.Any { return ctStatus(ipsDstNAT) }

// notTranslated matches flows whose destination no program rewrote.
func notTranslated() []expr.Any {
	return append(masked(&expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, ipsDstNAT, 0),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: make([]byte, 4)})
}

func masked(load expr.Any, mask, xor uint32) []expr.Any {
	return one(load, &expr.Bitwise{
		SourceRegister: reg1, DestRegister: reg1, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(mask),
		Xor:  binaryutil.NativeEndian.PutUint32(xor),
	})
}

func reject() []expr.Any {
	return one(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
}

func drop() []expr.Any { return one(&expr.Verdict{Kind: expr.VerdictDrop}) }

func returns() []expr.Any { return one(&expr.Verdict{Kind: expr.VerdictReturn}) }

func gotoChain(name string) []expr.Any {
	return one(&expr.Verdict{Kind: expr.VerdictGoto, Chain: name})
}

func jumpTo(name string) []expr.Any {
	return one(&expr.Verdict{Kind: expr.VerdictJump, Chain: name})
}

func interfaceName(op expr.CmpOp, name []byte) []expr.Any {
	return one(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, &expr.Cmp{Op: op, Register: reg1, Data: name})
}

// podMatch returns the nft text and expressions that recognise packets from pods
// (or, inverted, from any other client). The text is empty when the settings
// recognise no pods.
func podMatch(d *nat.PodMatch, f inet.Family, inverted bool) (string, []expr.Any) {
	op, not := expr.CmpOpEq, ""
	if inverted {
		op, not = expr.CmpOpNeq, "!= "
	}
	switch {
	case len(d.CIDRs) > 0:
		if !inet.HasFamily(d.CIDRs, f) {
			return "", nil
		}
		pods := Set{Kind: Pods, Family: f}
		lookup := inSet(pods)
		if inverted {
			lookup = notInSet(pods)
		}
		return fmt.Sprintf("%s saddr %s@%s", ipWord(f), not, pods),
			append(append(onlyFamily(f), saddr(f, reg1)...), lookup...)
	case d.Interface != "":
		return fmt.Sprintf("iifname %s%q", not, d.Interface), interfaceName(op, interfacePattern(d.Interface))
	case d.InterfacePrefix != "":
		name := d.InterfacePrefix + "*"
		return fmt.Sprintf("iifname %s%q", not, name), interfaceName(op, interfacePattern(name))
	}
	return "", nil
}
