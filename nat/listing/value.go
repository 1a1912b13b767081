// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
)

// kind says how nft prints a constant that a value is compared with.
type kind uint8

const (
	number kind = iota // has no name in nft's language
	constant
	mapped // out of a map
	address
	ports
	family
	protocol
	mark
	interfaceName
	interfaceIndex
	ctState
	ctStatus
	ctDirection
	addressType
	routeExists
)

// value is what a register holds.
type value struct {
	text   string
	size   int // bytes
	kind   kind
	data   []byte      // of a constant
	family inet.Family // of an address
	// mask and xor are set by a bitwise expression.
	mask, xor []byte
}

// concat returns the values from a register on that make up n bytes, each padded to
// 4 bytes.
func (d *decoder) concat(reg uint32, n int) (string, bool) {
	i, ok := slotOf(reg)
	var parts []string
	for ok && n > 0 {
		if i >= numSlots {
			return "", false
		}
		text, known := d.registers[i].masked()
		if !known {
			return "", false
		}
		slots := (d.registers[i].size + 3) / 4
		parts = append(parts, text)
		i, n = i+slots, n-4*slots
	}
	return strings.Join(parts, " . "), ok && n == 0 && len(parts) > 0
}

// masked returns a value, or the bits of an address that a mask leaves.
func (v value) masked() (string, bool) {
	if v.mask == nil {
		return v.text, v.text != ""
	}
	mask, ok := netip.AddrFromSlice(v.mask)
	if v.kind != address || !ok || len(v.mask) != v.size || strings.Trim(string(v.xor), "\x00") != "" {
		return "", false
	}
	return v.text + " & " + mask.String(), true
}

func (d *decoder) meta(e *expr.Meta) bool {
	if e.SourceRegister {
		text, ok := d.held(e.Register).arithmetic()
		return ok && e.Key == expr.MetaKeyMARK && d.emit("meta mark set %s", text)
	}
	v, ok := map[expr.MetaKey]value{
		expr.MetaKeyNFPROTO: {text: "meta nfproto", size: 1, kind: family},
		expr.MetaKeyL4PROTO: {text: "meta l4proto", size: 1, kind: protocol},
		expr.MetaKeyMARK:    {text: "meta mark", size: 4, kind: mark},
		expr.MetaKeyIIFNAME: {text: "iifname", size: unix.IFNAMSIZ, kind: interfaceName},
		expr.MetaKeyOIFNAME: {text: "oifname", size: unix.IFNAMSIZ, kind: interfaceName},
		expr.MetaKeyIIF:     {text: "iif", size: 4, kind: interfaceIndex},
		expr.MetaKeyOIF:     {text: "oif", size: 4, kind: interfaceIndex},
	}[e.Key]
	return ok && d.load(e.Register, v)
}

// arithmetic returns a value with its mask, for a statement that stores it.
func (v value) arithmetic() (string, bool) {
	if v.text == "" || len(v.mask) != 4 || len(v.xor) != 4 {
		return "", false
	}
	mask, xor := host(v.mask), host(v.xor)
	switch {
	case xor == 0:
		return fmt.Sprintf("%s & 0x%08x", v.text, mask), true
	case mask == ^xor:
		return fmt.Sprintf("%s | 0x%08x", v.text, xor), true
	}
	return "", false
}

// payload reads an address of the network header or a port, or a write of an address.
func (d *decoder) payload(e *expr.Payload) bool {
	if e.OperationType == expr.PayloadWrite {
		return d.write(e)
	}
	switch e.Base {
	case expr.PayloadBaseNetworkHeader:
		return d.network(e)
	case expr.PayloadBaseTransportHeader:
		side, ok := map[uint32]string{0: "sport", 2: "dport"}[e.Offset]
		if !ok || e.Len != 2 {
			return false
		}
		header := "th"
		if d.protoAt >= 0 {
			header, d.out[d.protoAt] = d.proto, ""
		}
		return d.load(e.DestRegister, value{text: header + " " + side, size: 2, kind: ports})
	}
	return false
}

func (d *decoder) network(e *expr.Payload) bool {
	text, ok := d.addressField(e)
	return ok && d.load(e.DestRegister, value{text: text, size: int(e.Len), kind: address, family: d.family})
}

// write reads what gives the packet another address. The checksums have to follow.
func (d *decoder) write(e *expr.Payload) bool {
	v := d.held(e.SourceRegister)
	text, ok := d.addressField(e)
	if !ok || v.text == "" || v.mask != nil || v.size != int(e.Len) || e.CsumFlags != unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR {
		return false
	}
	if want := map[inet.Family]expr.PayloadCsumType{inet.IPv4: expr.CsumTypeInet}[d.family]; e.CsumType != want || want != 0 && e.CsumOffset != 10 {
		return false
	}
	return d.emit("%s set %s", text, v.text)
}

// addressField returns nft's words for an address of the network header.
func (d *decoder) addressField(e *expr.Payload) (text string, ok bool) {
	var word, side string
	switch {
	case d.familyAt < 0 || e.Base != expr.PayloadBaseNetworkHeader:
		return "", false
	case d.family == inet.IPv4:
		word, side = "ip", map[uint32]string{12: "saddr", 16: "daddr"}[e.Offset]
	default:
		word, side = "ip6", map[uint32]string{8: "saddr", 24: "daddr"}[e.Offset]
	}
	if side == "" || int(e.Len) > d.family.AddrLen() {
		return "", false
	}
	d.out[d.familyAt] = ""
	return word + " " + side, true
}

func (d *decoder) ct(e *expr.Ct) bool {
	v, ok := map[expr.CtKey]value{
		expr.CtKeySTATE:     {text: "ct state", size: 4, kind: ctState},
		expr.CtKeySTATUS:    {text: "ct status", size: 4, kind: ctStatus},
		expr.CtKeyDIRECTION: {text: "ct direction", size: 1, kind: ctDirection},
	}[e.Key]
	return ok && !e.SourceRegister && d.load(e.Register, v)
}

func (d *decoder) ctOriginal(e *nft.CtOriginal) bool {
	v, ok := map[expr.CtKey]value{
		nft.CtKeySrcIP:       {text: "ct original ip saddr", size: 4},
		nft.CtKeyDstIP:       {text: "ct original ip daddr", size: 4},
		nft.CtKeySrcIP6:      {text: "ct original ip6 saddr", size: 16},
		nft.CtKeyDstIP6:      {text: "ct original ip6 daddr", size: 16},
		expr.CtKeyPROTODST:   {text: "ct original proto-dst", size: 2},
		expr.CtKeyPROTOSRC:   {text: "ct original proto-src", size: 2},
		expr.CtKeyPROTOCOL:   {text: "ct original protocol", size: 1},
		expr.CtKeyL3PROTOCOL: {text: "ct original l3proto", size: 1},
	}[e.Key]
	return ok && d.load(e.Register, v)
}

func (d *decoder) fib(e *expr.Fib) bool {
	if e.FlagMARK || e.FlagOIF || e.ResultOIFNAME || e.FlagSADDR == e.FlagDADDR || e.ResultOIF == e.ResultADDRTYPE || e.ResultOIF != e.FlagPRESENT {
		return false
	}
	key := "daddr"
	if e.FlagSADDR {
		key = "saddr"
	}
	if e.FlagIIF {
		key += " . iif"
	}
	if e.ResultOIF {
		return d.load(e.Register, value{text: "fib " + key + " oif", size: 4, kind: routeExists})
	}
	return d.load(e.Register, value{text: "fib " + key + " type", size: 4, kind: addressType})
}

// cmp reads a comparison with a constant.
func (d *decoder) cmp(e *expr.Cmp) bool {
	v := d.held(e.Register)
	if v.text == "" || len(e.Data) == 0 || e.Op != expr.CmpOpEq && e.Op != expr.CmpOpNeq {
		return false
	}
	if v.mask != nil {
		return d.cmpMasked(v, e)
	}
	text, ok := v.constant(e.Data)
	if !ok {
		return false
	}
	if e.Op == expr.CmpOpNeq {
		return d.emit("%s != %s", v.text, text)
	}
	switch v.kind {
	case family:
		d.family, d.familyAt = inet.IPv4, len(d.out)
		if e.Data[0] == unix.NFPROTO_IPV6 {
			d.family = inet.IPv6
		}
		d.restrict(d.family)
	case protocol:
		d.proto, d.protoAt = text, len(d.out)
	}
	return d.emit("%s %s", v.text, text)
}

// cmpMasked reads a comparison of some bits of a value.
func (d *decoder) cmpMasked(v value, e *expr.Cmp) bool {
	if len(v.mask) != 4 || len(v.xor) != 4 || len(e.Data) != 4 || host(v.xor) != 0 {
		return false
	}
	mask, data := host(v.mask), host(e.Data)
	if v.kind == mark {
		op := map[expr.CmpOp]string{expr.CmpOpEq: "==", expr.CmpOpNeq: "!="}[e.Op]
		return d.emit("meta mark & 0x%08x %s 0x%08x", mask, op, data)
	}
	names := map[kind]map[uint32]string{
		ctState:  {1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"},
		ctStatus: {1: "expected", 2: "seen-reply", 4: "assured", 8: "confirmed", 16: "snat", 32: "dnat"},
	}[v.kind]
	name, ok := names[mask]
	switch {
	case !ok || data != 0:
		return false
	case e.Op == expr.CmpOpEq:
		return d.emit("%s ! %s", v.text, name)
	}
	return d.emit("%s %s", v.text, name)
}

// constant returns a constant as nft prints it beside the value.
func (v value) constant(b []byte) (string, bool) {
	named := func(names map[uint32]string) (string, bool) {
		var n uint32
		switch len(b) {
		case 1:
			n = uint32(b[0])
		case 4:
			n = host(b)
		default:
			return "", false
		}
		text, ok := names[n]
		return text, ok
	}
	switch v.kind {
	case address:
		return addressText(b, v.family)
	case ports:
		if len(b) == 2 {
			return fmt.Sprint(port(b)), true
		}
	case family:
		return named(map[uint32]string{unix.NFPROTO_IPV4: "ipv4", unix.NFPROTO_IPV6: "ipv6"})
	case protocol:
		return named(map[uint32]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp"})
	case mark:
		return fmt.Sprintf("0x%08x", host(b)), len(b) == 4
	case interfaceName:
		name := strings.TrimRight(string(b), "\x00")
		if len(b) < unix.IFNAMSIZ {
			name = string(b) + "*"
		}
		return fmt.Sprintf("%q", name), true
	case interfaceIndex: // 1 is the loopback device of every network namespace
		return named(map[uint32]string{1: `"lo"`})
	case ctDirection:
		return named(map[uint32]string{0: "original", 1: "reply"})
	case addressType:
		return named(map[uint32]string{unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_MULTICAST: "multicast"})
	case routeExists:
		return named(map[uint32]string{0: "missing", 1: "exists"})
	}
	return "", false
}

// addressText returns an address, or the range whose first bytes are b.
func addressText(b []byte, f inet.Family) (string, bool) {
	size := f.AddrLen()
	if len(b) > size {
		return "", false
	}
	ip, _ := netip.AddrFromSlice(append(slices.Clone(b), make([]byte, size-len(b))...))
	if len(b) == size {
		return ip.String(), true
	}
	return netip.PrefixFrom(ip, 8*len(b)).String(), true
}

func host(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func port(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
