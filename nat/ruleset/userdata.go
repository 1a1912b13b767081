// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"

	"github.com/google/nftables/userdata"

	"fairlead/internal/inet"
)

// User data is stored by nft with a set for its own use; the kernel keeps the bytes
// and never reads them. Without the expressions of typeof, nft could
// list the slot of a backend only as a number of unknown length and would
// refuse to read its own listing. The encoding is that of nft's
// mnl_nft_set_add and of the expr_ops.build_udata functions (nft 0.9.4 to 1.1).

// nft's numbers of kinds of expressions (enum expr_types).
const (
	udPayload = 7
	udMeta    = 9
	udConcat  = 13
	udNumgen  = 23
)

// nft's numbers of protocol headers (enum proto_desc_id) and of their fields.
const (
	udTCP = 8
	udIP4 = 12
	udIP6 = 13

	udTCPDport = 2
)

// attributes of an expression
const (
	udType = userdata.Type(0)
	udData = userdata.Type(1)
)

// setUserdata returns the user data of a set as nft would write it.
func setUserdata(s Set) []byte {
	row := s.Spec()
	var ud []byte
	if len(row.Key) == 1 {
		const bigEndian = 2
		ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, bigEndian)
		if row.IsMap() {
			ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_DATABYTEORDER, bigEndian)
			ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_DATA_INTERVAL, 0)
		}
		return ud
	}
	ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, 0)
	if row.IsMap() {
		ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_DATABYTEORDER, 0)
	}
	if row.typeof() {
		ud = userdata.Append(ud, userdata.NFTNL_UDATA_SET_KEY_TYPEOF, concatUserdata(row.Key, s.Family))
		ud = userdata.Append(ud, userdata.NFTNL_UDATA_SET_DATA_TYPEOF, concatUserdata(row.Data, s.Family))
	} else {
		// "type a . b" is stored as a concatenation without parts.
		ud = userdata.Append(ud, userdata.NFTNL_UDATA_SET_KEY_TYPEOF, exprUserdata(udConcat, nil))
	}
	if row.IsMap() {
		ud = appendNumber(ud, userdata.NFTNL_UDATA_SET_DATA_INTERVAL, 0)
	}
	return ud
}

// appendNumber adds a number in the byte order of the machine, in which nft reads it.
// userdata.AppendUint32 writes the order of amd64, and nft crashes on that on s390x.
func appendNumber(ud []byte, kind userdata.Type, n uint32) []byte {
	return userdata.Append(ud, kind, binary.NativeEndian.AppendUint32(nil, n))
}

func exprUserdata(kind uint32, data []byte) []byte {
	return userdata.Append(appendNumber(nil, udType, kind), udData, data)
}

func concatUserdata(cs []Part, f inet.Family) []byte {
	var parts []byte
	for i, c := range cs {
		parts = userdata.Append(parts, userdata.Type(i), componentUserdata(c, f))
	}
	return exprUserdata(udConcat, parts)
}

func componentUserdata(c Part, f inet.Family) []byte {
	field := func(header, number uint32) []byte {
		return exprUserdata(udPayload, appendNumber(appendNumber(nil, 0, header), 1, number))
	}
	switch c {
	case PartVIP, PartBackend:
		if f == inet.IPv4 {
			return field(udIP4, 12) // ip daddr
		}
		return field(udIP6, 9) // ip6 daddr
	case PartClient:
		if f == inet.IPv4 {
			return field(udIP4, 11) // ip saddr
		}
		return field(udIP6, 8) // ip6 saddr
	case PartProto:
		const metaL4proto = 16
		return exprUserdata(udMeta, appendNumber(nil, 0, metaL4proto))
	case PartPort, PartTarget:
		// nft 1.0.6 cannot list "th dport" here ("conflicting protocols").
		return field(udTCP, udTCPDport)
	}
	// cSlot: numgen random mod 2 (type, modulus, offset)
	ng := appendNumber(nil, 0, 1)
	ng = appendNumber(ng, 1, 2)
	return exprUserdata(udNumgen, appendNumber(ng, 2, 0))
}
