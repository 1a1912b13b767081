// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// declaration returns the messages that make the table and its sets. They
// change nothing where these exist already.
func declaration(recreate bool) []netlink.Message {
	var msgs []netlink.Message
	table := attrs(str(unix.NFTA_TABLE_NAME, ruleset.TableName))
	if recreate {
		msgs = append(msgs, message(unix.NFT_MSG_NEWTABLE, netlink.Create, table),
			message(unix.NFT_MSG_DELTABLE, 0, table))
	}
	msgs = append(msgs, message(unix.NFT_MSG_NEWTABLE, netlink.Create, table))
	id := uint32(0)
	ruleset.AllSets(func(s ruleset.Set) {
		id++
		msgs = append(msgs, message(unix.NFT_MSG_NEWSET, netlink.Create, setAttrs(s, id)))
	})
	return msgs
}

func setAttrs(s ruleset.Set, id uint32) []byte {
	row := s.Spec()
	as := []netlink.Attribute{
		str(unix.NFTA_SET_TABLE, ruleset.TableName),
		str(unix.NFTA_SET_NAME, s.String()),
		num(unix.NFTA_SET_FLAGS, row.Flags()),
		num(unix.NFTA_SET_KEY_TYPE, ruleset.DatatypeOf(row.Key, s.Family)),
		num(unix.NFTA_SET_KEY_LEN, uint32(ruleset.KeyLen(row.Key, s.Family))),
	}
	if row.Verdict {
		as = append(as, num(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT), num(unix.NFTA_SET_DATA_LEN, 0))
	}
	if row.Data != nil {
		as = append(as, num(unix.NFTA_SET_DATA_TYPE, ruleset.DatatypeOf(row.Data, s.Family)),
			num(unix.NFTA_SET_DATA_LEN, uint32(ruleset.KeyLen(row.Data, s.Family))))
	}
	as = append(as, num(unix.NFTA_SET_ID, id))
	if desc := setDesc(s); len(desc) > 0 {
		as = append(as, netlink.Attribute{Type: unix.NFTA_SET_DESC | unix.NLA_F_NESTED, Data: desc})
	}
	return attrs(append(as, netlink.Attribute{Type: unix.NFTA_SET_USERDATA, Data: ruleset.SetUserdata(s)})...)
}

// setDesc gives the size of a map that packets fill and, for ranges in
// concatenated keys, the length of each part.
func setDesc(s ruleset.Set) []byte {
	row := s.Spec()
	switch {
	case row.Learnt:
		return attrs(num(unix.NFTA_SET_DESC_SIZE, ruleset.AffinitySize))
	case row.Flags()&ruleset.SetConcat == 0:
		return nil
	}
	var fields []byte
	for _, c := range row.Key {
		n := uint32(c.Width(s.Family))
		switch c {
		case ruleset.PartProto:
			n = 1
		case ruleset.PartPort:
			n = 2
		}
		field := attrs(num(1, n)) // NFTA_SET_FIELD_LEN
		fields = append(fields, attrs(netlink.Attribute{Type: unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED, Data: field})...)
	}
	return attrs(netlink.Attribute{Type: ruleset.SetDescConcat | unix.NLA_F_NESTED, Data: fields})
}

// message builds one nf_tables message for the inet family.
func message(typ uint16, flags netlink.HeaderFlags, body []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ),
			Flags: netlink.Request | netlink.Acknowledge | flags,
		},
		Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, body...),
	}
}

// attrs encodes attributes that are known to be short enough to be encoded.
func attrs(as ...netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(as)
	if err != nil {
		return nil // only for more than 64 KiB
	}
	return b
}

func str(typ uint16, s string) netlink.Attribute {
	return netlink.Attribute{Type: typ, Data: append([]byte(s), 0)}
}

func num(typ uint16, n uint32) netlink.Attribute {
	return netlink.Attribute{Type: typ, Data: binaryutil.BigEndian.PutUint32(n)}
}

// encode returns what the kernel stores for e. Elements of a set with ranges
// whose key is a single address become two: where the range begins and where
// it has ended.
func encodeElement(e *ruleset.Element) []nftables.SetElement {
	row := e.Set.Spec()
	if row.Ranges && len(row.Key) == 1 {
		return encodeInterval(e)
	}
	el := nftables.SetElement{Key: encodeKey(e, false), Comment: e.Comment, Counter: counterOf(e)}
	switch {
	case row.Verdict && e.Verdict == ruleset.VerdictDrop:
		el.VerdictData = &expr.Verdict{Kind: expr.VerdictDrop}
	case row.Verdict:
		el.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: e.Verdict}
	case row.Data != nil:
		el.Val = encodeData(e)
	case row.Ranges:
		el.KeyEnd = encodeKey(e, true)
	}
	return []nftables.SetElement{el}
}

// encodeKey encodes the key; end is for the upper end of a range.
func encodeKey(e *ruleset.Element, end bool) []byte {
	b := make([]byte, 0, ruleset.KeyLen(e.Set.Spec().Key, e.Set.Family))
	for _, c := range e.Set.Spec().Key {
		switch c {
		case ruleset.PartVIP:
			b = append(b, e.Key.IP.AsSlice()...)
		case ruleset.PartProto:
			b = append(b, byte(e.Key.Proto), 0, 0, 0)
		case ruleset.PartPort:
			b = append(binary.BigEndian.AppendUint16(b, e.Key.Port), 0, 0)
		case ruleset.PartSlot:
			b = binary.NativeEndian.AppendUint32(b, e.Slot)
		case ruleset.PartClient, ruleset.PartBackend:
			addr := e.Client.Addr()
			if end {
				addr = inet.LastAddr(e.Client)
			}
			b = append(b, addr.AsSlice()...)
		}
	}
	return b
}

func encodeData(e *ruleset.Element) []byte {
	b := e.Data.Addr().AsSlice()
	return append(binary.BigEndian.AppendUint16(b, e.Data.Port()), 0, 0)
}

// encodeInterval leaves out the end of a range that ends with the address space.
func encodeInterval(e *ruleset.Element) []nftables.SetElement {
	out := []nftables.SetElement{{Key: e.Client.Addr().AsSlice()}}
	if after := inet.LastAddr(e.Client).Next(); after.IsValid() {
		out = append(out, nftables.SetElement{Key: after.AsSlice(), IntervalEnd: true})
	}
	return out
}

// rawElements names elements of a set; none stand for all.
func rawElements(set ruleset.Set, els []nftables.SetElement) []byte {
	as := []netlink.Attribute{str(unix.NFTA_SET_ELEM_LIST_TABLE, ruleset.TableName), str(unix.NFTA_SET_ELEM_LIST_SET, set.String())}
	if len(els) > 0 {
		var list []netlink.Attribute
		for i := range els {
			list = append(list, nested(unix.NFTA_LIST_ELEM, rawElement(&els[i])...))
		}
		as = append(as, nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
	}
	return attrs(as...)
}

func rawElement(el *nftables.SetElement) []netlink.Attribute {
	value := func(b []byte) netlink.Attribute {
		return netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: b}
	}
	var as []netlink.Attribute
	if el.IntervalEnd {
		as = append(as, num(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END))
	}
	as = append(as, nested(unix.NFTA_SET_ELEM_KEY, value(el.Key)))
	if len(el.KeyEnd) > 0 {
		as = append(as, nested(nftables.NFTA_SET_ELEM_KEY_END, value(el.KeyEnd)))
	}
	if v := el.VerdictData; v != nil {
		verdict := []netlink.Attribute{num(unix.NFTA_VERDICT_CODE, uint32(v.Kind))}
		if v.Chain != "" {
			verdict = append(verdict, str(unix.NFTA_VERDICT_CHAIN, v.Chain))
		}
		as = append(as, nested(unix.NFTA_SET_ELEM_DATA, nested(unix.NFTA_DATA_VERDICT, verdict...)))
	} else if len(el.Val) > 0 {
		as = append(as, nested(unix.NFTA_SET_ELEM_DATA, value(el.Val)))
	}
	if el.Comment != "" {
		comment := userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, el.Comment)
		as = append(as, netlink.Attribute{Type: unix.NFTA_SET_ELEM_USERDATA, Data: comment})
	}
	if el.Counter != nil {
		as = append(as, nested(unix.NFTA_SET_ELEM_EXPR, str(unix.NFTA_EXPR_NAME, "counter"), nested(unix.NFTA_EXPR_DATA)))
	}
	return as
}

func nested(typ uint16, as ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: typ | unix.NLA_F_NESTED, Data: attrs(as...)}
}

// counterOf is what SetElement says of an element that counts.
func counterOf(e *ruleset.Element) *expr.Counter {
	if !e.Counter {
		return nil
	}
	return &expr.Counter{}
}
