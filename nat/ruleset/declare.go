// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
)

// nft's numbers of data types (enum datatypes).
const (
	typeInteger     = 4
	typeIPv4        = 7
	typeIPv6        = 8
	typeInetProto   = 12
	typeInetService = 13

	typeBits = 6 // each part of a concatenated type takes that many bits
)

// affinitySize bounds the affinity maps that all Services use, as nft does for a
// dynamic map whose declaration gives no size, and shareSize those of one Service.
// Packets write these maps and must not be able to fill the memory: an entry takes 100
// to 200 bytes, and all maps together hold at most 1.6 million.
const (
	affinitySize = nft.DynamicSize
	shareSize    = 2048
)

// size returns how many entries a map holds that packets write, 0 for other sets.
func (s Set) size() uint32 {
	switch {
	case !s.Spec().Learnt:
		return 0
	case s.Number > 0:
		return shareSize
	}
	return affinitySize
}

func (c Part) datatype(f inet.Family) uint32 {
	switch c {
	case PartVIP, PartClient, PartBackend:
		if f == inet.IPv4 {
			return typeIPv4
		}
		return typeIPv6
	case PartProto:
		return typeInetProto
	case PartSlot:
		return typeInteger
	}
	return typeInetService
}

func datatypeOf(cs []Part, f inet.Family) uint32 {
	var t uint32
	for _, c := range cs {
		t = t<<typeBits | c.datatype(f)
	}
	return t
}

func (r *SetSpec) flags() uint32 {
	var flags uint32
	if r.IsMap() {
		flags |= unix.NFT_SET_MAP
	}
	if r.Ranges {
		flags |= unix.NFT_SET_INTERVAL
		if len(r.Key) > 1 {
			flags |= nft.SetConcat
		}
	}
	if r.Learnt {
		flags |= unix.NFT_SET_TIMEOUT | unix.NFT_SET_EVAL
	}
	return flags
}

// Width returns how many bytes of a key the component takes.
func (c Part) Width(f inet.Family) int {
	if c == PartVIP || c == PartClient || c == PartBackend {
		return int(AddrLen(f))
	}
	return 4
}

// KeyLen returns the length in bytes of a key, or of data, of these parts.
func KeyLen(cs []Part, f inet.Family) int {
	n := 0
	for _, c := range cs {
		n += c.Width(f)
	}
	return n
}

// Declaration returns the set as it is declared to the kernel.
func (s Set) Declaration() nft.Set {
	row := s.Spec()
	d := nft.Set{
		Name: s.String(), Flags: row.flags(), UserData: string(setUserdata(s)),
		KeyType: datatypeOf(row.Key, s.Family), KeyLen: uint32(KeyLen(row.Key, s.Family)),
	}
	switch {
	case row.Verdict:
		d.DataType = unix.NFT_DATA_VERDICT
	case row.Data != nil:
		d.DataType, d.DataLen = datatypeOf(row.Data, s.Family), uint32(KeyLen(row.Data, s.Family))
	}
	if row.Learnt {
		d.Size = s.size()
	}
	if d.Flags&nft.SetConcat != 0 {
		for _, c := range row.Key {
			d.Fields += string([]byte{c.fieldLen(s.Family)})
		}
	}
	return d
}

// fieldLen returns the length of the component without padding.
func (c Part) fieldLen(f inet.Family) byte {
	switch c {
	case PartProto:
		return 1
	case PartPort:
		return 2
	}
	return byte(c.Width(f))
}
