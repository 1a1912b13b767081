// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// machine has the registers of nf_tables: 64 bytes, which are four registers of
// 16 or sixteen of 4. Bytes that depend on what Check does not know are unknown.
type machine struct {
	value [64]byte
	known [64]bool
}

// span returns the bytes of a register.
func span(reg uint32, n int) (int, bool) {
	var at int
	switch {
	case reg >= unix.NFT_REG_1 && reg <= unix.NFT_REG_4:
		at = int(reg-unix.NFT_REG_1) * 16
	case reg >= unix.NFT_REG32_00 && reg <= unix.NFT_REG32_15:
		at = int(reg-unix.NFT_REG32_00) * 4
	default:
		return 0, false
	}
	return at, n >= 0 && at+n <= 64
}

// datum is some bytes, any of which may be unknown.
type datum struct {
	value []byte
	known []bool
}

func known(b []byte) datum {
	return datum{b, slices.Repeat([]bool{true}, len(b))}
}

func unknown(n int) datum { return datum{make([]byte, n), make([]bool, n)} }

// native returns a number in the byte order of this machine, which meta and ct use.
func native(v uint32) datum { return known(binary.NativeEndian.AppendUint32(nil, v)) }

func (d datum) isKnown() bool { return !slices.Contains(d.known, false) }

// store pads to whole words with zeros, as the kernel does.
func (m *machine) store(reg uint32, d datum) {
	padded := (len(d.value) + 3) / 4 * 4
	at, ok := span(reg, padded)
	if !ok {
		return
	}
	for i := range padded {
		m.value[at+i], m.known[at+i] = 0, true
		if i < len(d.value) {
			m.value[at+i], m.known[at+i] = d.value[i], d.known[i]
		}
	}
}

func (m *machine) load(reg uint32, n int) datum {
	at, ok := span(reg, n)
	if !ok {
		return unknown(max(n, 0))
	}
	return datum{slices.Clone(m.value[at : at+n]), slices.Clone(m.known[at : at+n])}
}

// payload returns part of the packet's headers. Lengths, identifiers and
// checksums are unknown.
func (p packet) payload(base expr.PayloadBase, offset, n int) datum {
	header := unknown(60)
	put := func(at int, b ...byte) {
		for i := range b {
			header.value[at+i], header.known[at+i] = b[i], true
		}
	}
	switch {
	case base == expr.PayloadBaseTransportHeader:
		put(0, srcPort>>8, srcPort&0xff, byte(p.toPort()>>8), byte(p.toPort()))
	case base == expr.PayloadBaseNetworkHeader && p.src.Is4():
		put(0, 0x45, 0)
		put(6, 0, 0) // not a fragment
		put(9, p.l4())
		if !p.anySrc {
			put(12, p.src.AsSlice()...)
		}
		put(16, p.dst.AsSlice()...)
	case base == expr.PayloadBaseNetworkHeader:
		put(0, 0x60)
		put(6, p.l4())
		if !p.anySrc {
			put(8, p.src.AsSlice()...)
		}
		put(24, p.dst.AsSlice()...)
	}
	if offset < 0 || n < 0 || offset+n > len(header.value) {
		return unknown(max(n, 0))
	}
	return datum{header.value[offset : offset+n], header.known[offset : offset+n]}
}

// padded returns the name of a device in the form that rules use.
func (d device) padded() []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, d.name)
	return b
}

// meta returns the known properties of the packet besides its bytes.
func (p packet) meta(key expr.MetaKey) datum {
	switch key {
	case expr.MetaKeyNFPROTO:
		if p.src.Is4() {
			return known([]byte{unix.NFPROTO_IPV4})
		}
		return known([]byte{unix.NFPROTO_IPV6})
	case expr.MetaKeyPROTOCOL:
		if p.src.Is4() {
			return known([]byte{0x08, 0x00})
		}
		return known([]byte{0x86, 0xdd})
	case expr.MetaKeyL4PROTO:
		return known([]byte{p.l4()})
	case expr.MetaKeyIIFNAME, expr.MetaKeyIIF:
		if p.iif.unknown {
			return unknown(unix.IFNAMSIZ)
		}
		if key == expr.MetaKeyIIF {
			return native(p.iif.index)
		}
		return known(p.iif.padded())
	case expr.MetaKeyOIFNAME:
		return known(p.oif.padded())
	case expr.MetaKeyIIFTYPE, expr.MetaKeyOIFTYPE:
		return known(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER))
	case expr.MetaKeyMARK, expr.MetaKeyIIFGROUP, expr.MetaKeyOIFGROUP, expr.MetaKeyPRIORITY, expr.MetaKeySECMARK:
		return native(0)
	case expr.MetaKeyPKTTYPE:
		return known([]byte{unix.PACKET_HOST})
	case expr.MetaKeyOIF:
		return native(p.oif.index)
	}
	return unknown(16)
}

const (
	statusSeenReply = 1 << 1
	statusConfirmed = 1 << 3
	statusDNAT      = 1 << 5
)

func (p packet) state() uint32 {
	if p.untracked {
		return expr.CtStateBitUNTRACKED
	}
	if p.established {
		return expr.CtStateBitESTABLISHED
	}
	return expr.CtStateBitNEW
}

func (p packet) status() uint32 {
	var s uint32
	if p.established {
		s |= statusSeenReply | statusConfirmed
	}
	if p.dnat {
		s |= statusDNAT
	}
	return s
}

// conntrack returns the state of the packet's flow in connection tracking.
func (p packet) conntrack(key expr.CtKey) datum {
	if p.early {
		return unknown(16)
	}
	switch key {
	case expr.CtKeySTATE:
		return native(p.state())
	case expr.CtKeySTATUS:
		return native(p.status())
	case expr.CtKeyMARK, expr.CtKeySECMARK:
		return native(0)
	case expr.CtKeyDIRECTION:
		if p.established {
			return known([]byte{1})
		}
		return known([]byte{0})
	case expr.CtKeyPROTOCOL:
		return known([]byte{p.l4()})
	}
	return unknown(16)
}
