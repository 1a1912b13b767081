// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// decode reads an element of a set that is declared as ours. It reports false for
// what encodeElements would not have written; the result is then what could be
// read.
func decode(set ruleset.Set, el *nft.Element) (ruleset.Element, bool) {
	row := set.Spec()
	e := ruleset.Element{Set: set, Comment: el.Comment, Counter: el.Counter}
	if set.IsNode() {
		e.Key.IP = set.Family.Unspecified()
	}
	if len(el.Key) != ruleset.KeyLen(row.Key, set.Family) || !decodeKey(&e, row.Key, el.Key, el.KeyEnd) {
		return ruleset.Element{}, false
	}
	if set.Kind == ruleset.Sources {
		e.Client = netip.PrefixFrom(e.Client.Addr(), int(set.Number))
	}
	ok := el.Odd == 0 && (set.Kind != ruleset.Sources || e.Client == e.Client.Masked()) && el.Flags == 0 && (!el.Counter || set.IsSlots())
	switch {
	case row.Verdict && el.HasVerdict && el.Verdict == nft.VerdictDrop:
		e.Verdict = ruleset.VerdictDrop
	case row.Verdict:
		e.Verdict = el.Chain
		ok = ok && el.HasVerdict && el.Verdict == nft.VerdictGoto
	case row.Data != nil:
		e.Data, ok = decodeData(set, el.Data, ok)
	}
	return e, ok
}

func decodeData(set ruleset.Set, b []byte, ok bool) (netip.AddrPort, bool) {
	n := set.Family.AddrLen()
	if len(b) != ruleset.KeyLen(set.Spec().Data, set.Family) {
		return netip.AddrPort{}, false
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	if len(b) == n {
		return netip.AddrPortFrom(addr, 0), ok
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[n:])), ok
}

func decodeKey(e *ruleset.Element, cs []ruleset.Part, key, end []byte) bool {
	for _, c := range cs {
		n := c.Width(e.Set.Family)
		part := key[:n]
		key = key[n:]
		var partEnd []byte
		if len(end) >= n {
			partEnd, end = end[:n], end[n:]
		}
		switch c {
		case ruleset.PartVIP:
			e.Key.IP, _ = netip.AddrFromSlice(part)
		case ruleset.PartProto:
			e.Key.Proto = inet.Proto(part[0])
		case ruleset.PartPort:
			e.Key.Port = binary.BigEndian.Uint16(part)
		case ruleset.PartSlot:
			e.Slot = binary.NativeEndian.Uint32(part)
		case ruleset.PartClient, ruleset.PartBackend:
			if !decodeClient(e, part, partEnd) {
				return false
			}
			continue // the only component that may be a range
		}
		if partEnd != nil && string(part) != string(partEnd) {
			return false
		}
	}
	return true
}

// decodeClient reads an address or a range. Where a key has two, as that of
// hairpin, both are the same.
func decodeClient(e *ruleset.Element, part, end []byte) bool {
	first, _ := netip.AddrFromSlice(part)
	last, ok := netip.AddrFromSlice(end)
	if !ok {
		last = first
	}
	was := e.Client
	e.Client, ok = inet.Spanned(first, last)
	return ok && (!was.IsValid() || was == e.Client)
}

// bound is where a range of a set of ranges begins, or has ended.
type bound struct {
	at  netip.Addr
	end bool
}

// readRanges puts ranges together from their bounds. It reports false if one is no
// prefix.
func readRanges(bounds []bound) ([]netip.Prefix, bool) {
	slices.SortFunc(bounds, func(a, b bound) int {
		if c := a.at.Compare(b.at); c != 0 || a.end == b.end {
			return c
		}
		if a.end {
			return -1 // one range ends where the next begins
		}
		return 1
	})
	var out []netip.Prefix
	for i, b := range bounds {
		if b.end {
			continue
		}
		last := inet.LastAddr(netip.PrefixFrom(b.at, 0).Masked())
		if i+1 < len(bounds) && bounds[i+1].end {
			last = bounds[i+1].at.Prev()
		}
		p, ok := inet.Spanned(b.at, last)
		if !ok {
			return nil, false
		}
		out = append(out, p)
	}
	return out, true
}

// readBound reads one element of a set of ranges. It reports false for what
// encodeBound would not have written, and skip for the end that nft writes before
// the first range.
func readBound(el *nft.Element) (b bound, skip, ok bool) {
	at, valid := netip.AddrFromSlice(el.Key)
	b = bound{at: at, end: el.Flags == unix.NFT_SET_ELEM_INTERVAL_END}
	ok = valid && el.Odd == 0 && el.Comment == "" && !el.Counter && (el.Flags == 0 || b.end)
	return b, ok && b.end && at.IsUnspecified(), ok
}

// oddOfBound names what readBound does not expect of an element.
func oddOfBound(el *nft.Element) nft.Odd {
	odd := el.Odd
	if el.Comment != "" {
		odd |= nft.OddComment
	}
	if el.Counter {
		odd |= nft.OddCounter
	}
	if el.Flags&^unix.NFT_SET_ELEM_INTERVAL_END != 0 {
		odd |= nft.OddFlags
	}
	return odd
}
