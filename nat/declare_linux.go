// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// Sets are declared by messages of our own because google/nftables (v0.3.0)
// cannot give a set user data. It is a table, its sets and nothing else.

// nft's numbers of data types (enum datatypes).
const (
	typeInteger     = 4
	typeIPv4        = 7
	typeIPv6        = 8
	typeInetProto   = 12
	typeInetService = 13

	typeBits = 6 // each part of a concatenated type takes that many bits
)

// Flags and attributes that x/sys lacks.
const (
	setConcat     = 0x80 // NFT_SET_CONCAT, kernel 5.6
	setDescConcat = 2    // NFTA_SET_DESC_CONCAT
)

// affinitySize bounds an affinity map, as nft does for a dynamic map whose
// declaration gives no size; packets must not be able to fill the memory.
const affinitySize = 65535

func (c component) datatype(f inet.Family) uint32 {
	switch c {
	case cVIP, cClient, cBackend:
		if f == inet.IPv4 {
			return typeIPv4
		}
		return typeIPv6
	case cProto:
		return typeInetProto
	case cSlot:
		return typeInteger
	}
	return typeInetService
}

func datatypeOf(cs []component, f inet.Family) uint32 {
	var t uint32
	for _, c := range cs {
		t = t<<typeBits | c.datatype(f)
	}
	return t
}

func (r *layoutRow) flags() uint32 {
	var flags uint32
	if r.isMap() {
		flags |= unix.NFT_SET_MAP
	}
	if r.ranges {
		flags |= unix.NFT_SET_INTERVAL
		if len(r.key) > 1 {
			flags |= setConcat
		}
	}
	if r.learnt {
		flags |= unix.NFT_SET_TIMEOUT | unix.NFT_SET_EVAL
	}
	return flags
}

// declaration returns the messages that make the table and its sets. They
// change nothing where these exist already.
func declaration(recreate bool) []netlink.Message {
	var msgs []netlink.Message
	table := attrs(str(unix.NFTA_TABLE_NAME, TableName))
	if recreate {
		msgs = append(msgs, message(unix.NFT_MSG_NEWTABLE, netlink.Create, table),
			message(unix.NFT_MSG_DELTABLE, 0, table))
	}
	msgs = append(msgs, message(unix.NFT_MSG_NEWTABLE, netlink.Create, table))
	id := uint32(0)
	allSets(func(s setID) {
		id++
		msgs = append(msgs, message(unix.NFT_MSG_NEWSET, netlink.Create, setAttrs(s, id)))
	})
	return msgs
}

func setAttrs(s setID, id uint32) []byte {
	row := s.row()
	as := []netlink.Attribute{
		str(unix.NFTA_SET_TABLE, TableName),
		str(unix.NFTA_SET_NAME, s.String()),
		num(unix.NFTA_SET_FLAGS, row.flags()),
		num(unix.NFTA_SET_KEY_TYPE, datatypeOf(row.key, s.fam)),
		num(unix.NFTA_SET_KEY_LEN, uint32(keyLen(row.key, s.fam))),
	}
	if row.verdict {
		as = append(as, num(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT), num(unix.NFTA_SET_DATA_LEN, 0))
	}
	if row.data != nil {
		as = append(as, num(unix.NFTA_SET_DATA_TYPE, datatypeOf(row.data, s.fam)),
			num(unix.NFTA_SET_DATA_LEN, uint32(keyLen(row.data, s.fam))))
	}
	as = append(as, num(unix.NFTA_SET_ID, id))
	if desc := setDesc(s); len(desc) > 0 {
		as = append(as, netlink.Attribute{Type: unix.NFTA_SET_DESC | unix.NLA_F_NESTED, Data: desc})
	}
	return attrs(append(as, netlink.Attribute{Type: unix.NFTA_SET_USERDATA, Data: setUserdata(s)})...)
}

// setDesc gives the size of a map that packets fill and, for ranges in
// concatenated keys, the length of each part.
func setDesc(s setID) []byte {
	row := s.row()
	switch {
	case row.learnt:
		return attrs(num(unix.NFTA_SET_DESC_SIZE, affinitySize))
	case row.flags()&setConcat == 0:
		return nil
	}
	var fields []byte
	for _, c := range row.key {
		n := uint32(c.width(s.fam))
		switch c {
		case cProto:
			n = 1
		case cPort:
			n = 2
		}
		field := attrs(num(1, n)) // NFTA_SET_FIELD_LEN
		fields = append(fields, attrs(netlink.Attribute{Type: unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED, Data: field})...)
	}
	return attrs(netlink.Attribute{Type: setDescConcat | unix.NLA_F_NESTED, Data: fields})
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
