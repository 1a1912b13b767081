// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Keys of the ct expression that google/nftables (v0.3.0) lacks; kernel 4.17.
const (
	CtKeySrcIP  = expr.CtKey(19) // NFT_CT_SRC_IP
	CtKeyDstIP  = expr.CtKey(20) // NFT_CT_DST_IP
	CtKeySrcIP6 = expr.CtKey(21) // NFT_CT_SRC_IP6
	CtKeyDstIP6 = expr.CtKey(22) // NFT_CT_DST_IP6
)

// CtOriginal loads a field of the flow's original direction: what the client
// sent, before any rewriting. It is google/nftables' Ct in all but the direction,
// which that type encodes for other keys only.
type CtOriginal struct{ expr.Ct }

// MasqueradePorts is a masquerade with a range of source ports and flags.
// google/nftables (v0.3.0) encodes the range without the flags.
type MasqueradePorts struct{ expr.Masq }

// Foreign stands for an expression that no rule of ours has.
type Foreign struct {
	expr.Any
	Name string
	raw  []byte // for EncodeExprs
}

// NewForeign returns an expression that has a name and nothing else.
func NewForeign(name string) *Foreign {
	raw, _ := item(name, func(*nl.Messages) {}) // it fails for a name with a zero byte
	return &Foreign{Name: name, raw: raw}
}

// String returns the kernel's name of the expression.
func (f *Foreign) String() string { return f.Name }

// marshal returns the contents of one item of a list of expressions.
func marshal(family uint8, e expr.Any) ([]byte, error) {
	switch e := e.(type) {
	case *CtOriginal:
		return item("ct", func(m *nl.Messages) {
			m.BE32(unix.NFTA_CT_KEY, uint32(e.Key))
			m.BE32(unix.NFTA_CT_DREG, e.Register)
			m.U8(unix.NFTA_CT_DIRECTION, 0)
		})
	case *Foreign:
		return e.raw, nil
	case *expr.Payload:
		if e.OperationType == expr.PayloadWrite {
			return marshalWrite(e)
		}
	case *MasqueradePorts:
		return item("masq", func(m *nl.Messages) {
			m.BE32(unix.NFTA_MASQ_FLAGS, unix.NF_NAT_RANGE_PROTO_SPECIFIED|unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY)
			m.BE32(unix.NFTA_MASQ_REG_PROTO_MIN, e.RegProtoMin)
			m.BE32(unix.NFTA_MASQ_REG_PROTO_MAX, e.RegProtoMax)
		})
	}
	return expr.Marshal(family, e)
}

// marshalWrite encodes a write into a header. google/nftables (v0.3.0) leaves out which checksum of
// the transport header covers the field unless the network header has one, too, as in IPv6.
func marshalWrite(e *expr.Payload) ([]byte, error) {
	return item("payload", func(m *nl.Messages) {
		m.BE32(unix.NFTA_PAYLOAD_SREG, e.SourceRegister)
		m.BE32(unix.NFTA_PAYLOAD_BASE, uint32(e.Base))
		m.BE32(unix.NFTA_PAYLOAD_OFFSET, e.Offset)
		m.BE32(unix.NFTA_PAYLOAD_LEN, e.Len)
		m.BE32(unix.NFTA_PAYLOAD_CSUM_TYPE, uint32(e.CsumType))
		m.BE32(unix.NFTA_PAYLOAD_CSUM_OFFSET, e.CsumOffset)
		m.BE32(unix.NFTA_PAYLOAD_CSUM_FLAGS, e.CsumFlags)
	})
}

// item returns an expression with the data that put adds.
func item(name string, put func(m *nl.Messages)) ([]byte, error) {
	const header = unix.SizeofNlMsghdr + genmsgLen // of a message that only carries the attributes
	var m nl.Messages
	Table{}.Begin(&m, 0, 0)
	m.String(unix.NFTA_EXPR_NAME, name)
	m.Nest(unix.NFTA_EXPR_DATA, func() { put(&m) })
	return m.Bytes()[header:], m.Err()
}

// ReadExprs reads the expressions of a rule. Those that no rule of ours uses
// become Foreign, so that the rule differs from each of ours.
func ReadExprs(family uint8, list []byte) []expr.Any {
	var out []expr.Any
	for _, item := range nl.Attrs(list) {
		name := nl.String(nl.Attr(item, unix.NFTA_EXPR_NAME))
		e := readExpr(family, name, nl.Attr(item, unix.NFTA_EXPR_DATA))
		if f, ok := e.(*Foreign); ok {
			f.raw = slices.Clone(item)
		}
		out = append(out, e)
	}
	return out
}

// EncodeExprs is the reverse of ReadExprs, for rules that are kept in a file. The error
// names an expression that cannot be encoded.
func EncodeExprs(family uint8, exprs []expr.Any) ([]byte, error) {
	const header = unix.SizeofNlMsghdr + genmsgLen // of a message that only carries the attributes
	var m nl.Messages
	Table{}.Begin(&m, 0, 0)
	for _, e := range exprs {
		b, err := marshal(family, e)
		if err != nil {
			return nil, fmt.Errorf("encode expression %T: %w", e, err)
		}
		m.Attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b...)
	}
	return m.Bytes()[header:], m.Err()
}

func readExpr(family uint8, name string, data []byte) expr.Any {
	var e expr.Any
	switch name {
	case "bitwise":
		e = &expr.Bitwise{}
	case "byteorder":
		return readByteorder(data)
	case "cmp":
		e = &expr.Cmp{}
	case "counter":
		e = &expr.Counter{}
	case "ct":
		return readCt(data)
	case "dynset":
		e = &expr.Dynset{}
	case "fib":
		e = &expr.Fib{}
	case "immediate":
		e = &expr.Verdict{}
		if nl.BE32(nl.Attr(data, unix.NFTA_IMMEDIATE_DREG)) != unix.NFT_REG_VERDICT {
			e = &expr.Immediate{}
		}
	case "lookup":
		e = &expr.Lookup{}
	case "masq":
		e = &expr.Masq{}
	case "meta":
		e = &expr.Meta{}
	case "nat":
		e = &expr.NAT{}
	case "notrack":
		return &expr.Notrack{}
	case "numgen":
		e = &expr.Numgen{}
	case "payload":
		e = &expr.Payload{}
	case "reject":
		e = &expr.Reject{}
	default:
		return &Foreign{Name: name}
	}
	if err := expr.Unmarshal(family, data, e); err != nil {
		return &Foreign{Name: name} // with an attribute that ours never have
	}
	if m, ok := e.(*expr.Masq); ok && m.ToPorts {
		return &MasqueradePorts{Masq: *m}
	}
	return e
}

// readByteorder reads what google/nftables (v0.3.0) cannot.
func readByteorder(b []byte) expr.Any {
	return &expr.Byteorder{
		SourceRegister: nl.BE32(nl.Attr(b, unix.NFTA_BYTEORDER_SREG)),
		DestRegister:   nl.BE32(nl.Attr(b, unix.NFTA_BYTEORDER_DREG)),
		Op:             expr.ByteorderOp(nl.BE32(nl.Attr(b, unix.NFTA_BYTEORDER_OP))),
		Len:            nl.BE32(nl.Attr(b, unix.NFTA_BYTEORDER_LEN)),
		Size:           nl.BE32(nl.Attr(b, unix.NFTA_BYTEORDER_SIZE)),
	}
}

// readCt keeps the direction, which google/nftables (v0.3.0) cannot read.
func readCt(b []byte) expr.Any {
	ct := expr.Ct{Key: expr.CtKey(nl.BE32(nl.Attr(b, unix.NFTA_CT_KEY))), Register: nl.BE32(nl.Attr(b, unix.NFTA_CT_DREG))}
	switch dir := nl.Attr(b, unix.NFTA_CT_DIRECTION); {
	case dir == nil:
		return &ct
	case len(dir) == 1 && dir[0] == 0:
		return &CtOriginal{Ct: ct}
	}
	return &Foreign{Name: "ct reply"}
}
