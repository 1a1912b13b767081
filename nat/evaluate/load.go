// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package evaluate

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

func (e *execution) meta(x *expr.Meta) answer {
	p := &e.state.packet
	if x.SourceRegister {
		b, ok := e.load(x.Register, 4)
		if !ok || x.Key != expr.MetaKeyMARK {
			return unknown
		}
		e.state.mark = binary.NativeEndian.Uint32(b)
		return next
	}
	switch x.Key {
	case expr.MetaKeyNFPROTO:
		if inet.FamilyOf(p.Dst.IP) == inet.IPv6 {
			return e.store(x.Register, []byte{unix.NFPROTO_IPV6})
		}
		return e.store(x.Register, []byte{unix.NFPROTO_IPV4})
	case expr.MetaKeyL4PROTO:
		return e.store(x.Register, []byte{byte(p.Dst.Proto)})
	case expr.MetaKeyMARK:
		return e.store(x.Register, host(e.state.mark))
	case expr.MetaKeyIIFNAME:
		return e.store(x.Register, padded(p.IIF))
	case expr.MetaKeyOIFNAME:
		return e.store(x.Register, padded(e.state.out))
	case expr.MetaKeyIIF:
		return e.store(x.Register, host(indexOf(p.IIF)))
	case expr.MetaKeyOIF:
		return e.store(x.Register, host(indexOf(e.state.out)))
	}
	return unknown
}

// indexOf tells the loopback device, which is number 1, from no device and from others.
func indexOf(name string) uint32 {
	switch name {
	case "":
		return 0
	case "lo":
		return 1
	}
	return 2
}

func host(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func padded(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// payload reads an address of the network header, or its first bytes, or a port.
func (e *execution) payload(x *expr.Payload) answer {
	p := &e.state.packet
	if x.OperationType != expr.PayloadLoad {
		return unknown
	}
	if x.Base == expr.PayloadBaseTransportHeader {
		switch {
		case x.Len == 2 && x.Offset == 0:
			return e.store(x.DestRegister, binary.BigEndian.AppendUint16(nil, p.Src.Port()))
		case x.Len == 2 && x.Offset == 2:
			return e.store(x.DestRegister, binary.BigEndian.AppendUint16(nil, p.Dst.Port))
		}
		return unknown
	}
	at := map[uint32]netip.Addr{12: p.Src.Addr(), 16: p.Dst.IP}
	if inet.FamilyOf(p.Dst.IP) == inet.IPv6 {
		at = map[uint32]netip.Addr{8: p.Src.Addr(), 24: p.Dst.IP}
	}
	ip, ok := at[x.Offset]
	if x.Base != expr.PayloadBaseNetworkHeader || !ok || int(x.Len) > len(ip.AsSlice()) {
		return unknown
	}
	return e.store(x.DestRegister, ip.AsSlice()[:x.Len])
}

// Bits of connection tracking: NF_CT_STATE_BIT(IP_CT_NEW), NF_CT_STATE_UNTRACKED_BIT
// and IPS_DST_NAT.
const (
	stateNew       = 8
	stateUntracked = 64
	statusDNAT     = 32
)

func (e *execution) ct(x *expr.Ct) answer {
	switch {
	case x.SourceRegister:
		return unknown
	case x.Key == expr.CtKeySTATE && e.state.untracked:
		return e.store(x.Register, host(stateUntracked))
	case e.state.untracked:
		return breaks // the packet has no connection
	case x.Key == expr.CtKeySTATE:
		return e.store(x.Register, host(stateNew))
	case x.Key == expr.CtKeySTATUS && e.state.dnat:
		return e.store(x.Register, host(statusDNAT))
	case x.Key == expr.CtKeySTATUS:
		return e.store(x.Register, host(0))
	case x.Key == expr.CtKeyDIRECTION:
		return e.store(x.Register, []byte{0})
	}
	return unknown
}

func (e *execution) ctOriginal(x *nft.CtOriginal) answer {
	o := &e.state.original
	if e.state.untracked {
		return breaks
	}
	switch x.Key {
	case nft.CtKeySrcIP, nft.CtKeySrcIP6:
		return e.address(x.Register, o.Src.Addr(), x.Key == nft.CtKeySrcIP6)
	case nft.CtKeyDstIP, nft.CtKeyDstIP6:
		return e.address(x.Register, o.Dst.IP, x.Key == nft.CtKeyDstIP6)
	case expr.CtKeyPROTOSRC:
		return e.store(x.Register, binary.BigEndian.AppendUint16(nil, o.Src.Port()))
	case expr.CtKeyPROTODST:
		return e.store(x.Register, binary.BigEndian.AppendUint16(nil, o.Dst.Port))
	case expr.CtKeyPROTOCOL:
		return e.store(x.Register, []byte{byte(o.Dst.Proto)})
	}
	return unknown
}

// address stores an address. The kernel breaks for a flow of the other family.
func (e *execution) address(reg uint32, ip netip.Addr, v6 bool) answer {
	if ip.Is6() != v6 {
		return breaks
	}
	return e.store(reg, ip.AsSlice())
}

func (e *execution) fib(x *expr.Fib) answer {
	p := &e.state.packet
	ip := p.Dst.IP
	if x.FlagSADDR {
		ip = p.Src.Addr()
	}
	switch {
	case x.FlagMARK || x.FlagOIF || x.ResultOIFNAME || x.FlagSADDR == x.FlagDADDR:
		return unknown
	case x.ResultADDRTYPE && !x.ResultOIF && !x.FlagIIF:
		return e.store(x.Register, host(e.addressType(ip)))
	case x.ResultOIF && x.FlagPRESENT && x.FlagIIF:
		n := uint32(0)
		if e.host.Leads(ip, p.IIF) {
			n = 1
		}
		return e.store(x.Register, host(n))
	}
	return unknown
}

func (e *execution) addressType(ip netip.Addr) uint32 {
	switch {
	case e.host.IsLocal(ip):
		return unix.RTN_LOCAL
	case ip.IsMulticast():
		return unix.RTN_MULTICAST
	}
	return unix.RTN_UNICAST
}

// key is the key of an element. Parts that its set does not have are zero.
type key struct {
	addr            inet.Addr
	slot            uint32
	client, backend netip.Addr
}

func keyOf(e *ruleset.Element) key {
	k := key{slot: e.Slot}
	for _, part := range e.Set.Spec().Key {
		switch part {
		case ruleset.PartVIP:
			k.addr.IP = e.Key.IP
		case ruleset.PartProto:
			k.addr.Proto = e.Key.Proto
		case ruleset.PartPort:
			k.addr.Port = e.Key.Port
		case ruleset.PartClient:
			k.client = e.Client.Addr()
		case ruleset.PartBackend:
			k.backend = e.Client.Addr()
		}
	}
	return k
}

// find returns the element of a set with this key, as it stands in registers. For a set
// of ranges it says whether one of them has the address.
func (t *Table) find(set ruleset.Set, b []byte) (found *element, inRange bool) {
	if set.Spec().IsInterval() {
		ip, _ := netip.AddrFromSlice(b)
		for _, p := range t.found.Ranges[set] {
			if p.Contains(ip) {
				return nil, true
			}
		}
		return nil, false
	}
	var k key
	for _, part := range set.Spec().Key {
		n := part.Width(set.Family)
		v := b[:n]
		b = b[n:]
		ip, _ := netip.AddrFromSlice(v)
		switch part {
		case ruleset.PartVIP:
			k.addr.IP = ip
		case ruleset.PartProto:
			k.addr.Proto = inet.Proto(v[0])
		case ruleset.PartPort:
			k.addr.Port = binary.BigEndian.Uint16(v)
		case ruleset.PartSlot:
			k.slot = binary.NativeEndian.Uint32(v)
		case ruleset.PartClient:
			k.client = ip
		case ruleset.PartBackend:
			k.backend = ip
		}
	}
	return t.index[set][k], false
}
