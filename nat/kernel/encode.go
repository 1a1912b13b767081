// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// encodeRun adds the messages of operations that belong together, but for AddSet and CarryClients.
// It uses room meanwhile.
func encodeRun(m *nl.Messages, run ruleset.Batch, room *elementRoom) error {
	o := &run[0]
	switch o.Verb {
	case ruleset.AddTable:
		self.Add(m, 0)
	case ruleset.AdoptTable:
		self.Add(m, o.Flags)
	case ruleset.DeleteTable:
		self.Delete(m)
	case ruleset.DeleteSet:
		self.DeleteSet(m, o.Name)
	case ruleset.FlushSet:
		self.FlushSet(m, o.Set.String())
	case ruleset.AddChain:
		return encodeChain(m, o.Chain)
	case ruleset.FlushChain:
		self.FlushChain(m, o.Name)
	case ruleset.DeleteChain:
		self.DeleteChain(m, o.Name)
	case ruleset.AcceptChain:
		self.SetPolicy(m, o.Name, nft.PolicyAccept)
	case ruleset.DeleteRules:
		for _, r := range o.Chain.Rules {
			self.DeleteRule(m, o.Chain.Name, r.Handle)
		}
	case ruleset.DeleteObject:
		self.DeleteObject(m, o.Name, o.Flags)
	case ruleset.AddElement:
		encodeElements(m, unix.NFT_MSG_NEWSETELEM, run, room)
	case ruleset.DeleteElement:
		if o.Stray != nil {
			encodeStray(m, o.Stray)
			return nil
		}
		encodeElements(m, unix.NFT_MSG_DELSETELEM, run, room)
	}
	return nil
}

// encodeSet declares the set that is number id of its transaction. A hash table of a declared size has
// as many buckets from the beginning (nft_rhash_init), which the kernel allocates and clears: 1 MiB for
// nft.DynamicSize. Without one, it begins small and grows. But kernels before 6.5 count only
// elements of a set that has a size, so one that gets elements before the rule that fills it is sized.
func encodeSet(m *nl.Messages, s ruleset.Set, id uint32, sized bool) {
	d := s.Declaration()
	if d.Size == nft.DynamicSize && !sized {
		d.Size = 0
	}
	self.AddSet(m, &d, id+1)
}

func encodeChain(m *nl.Messages, c *ruleset.Chain) error {
	var hook *nft.Hook
	if h := c.Hook; h != nil {
		hook = &nft.Hook{Type: string(h.Type), Number: uint32(h.Number), Priority: int32(h.Priority), Policy: nft.PolicyAccept}
		if h.Drops {
			hook.Policy = nft.PolicyDrop
		}
	}
	self.AddChain(m, c.Name, hook)
	self.FlushChain(m, c.Name)
	for _, r := range c.Rules {
		if err := self.AddRule(m, c.Name, r.Exprs); err != nil {
			return fmt.Errorf("encode rule %q of chain %s: %w", r.Text, c.Name, err)
		}
	}
	return nil
}

func encodeStray(m *nl.Messages, s *ruleset.Stray) {
	self.PutElements(m, unix.NFT_MSG_DELSETELEM, s.Set.String(), 1, func(_ int, e *nft.Element) bool {
		e.Key, e.KeyEnd, e.Flags = []byte(s.Key), []byte(s.KeyEnd), s.Flags
		return true
	})
}

// encodeElements adds elements of one set. A range whose key is a single address
// takes two elements: one where it begins and one behind its end.
func encodeElements(m *nl.Messages, kind uint16, run ruleset.Batch, room *elementRoom) {
	set := run[0].Element.Set
	row := set.Spec()
	if row.IsInterval() {
		self.PutElements(m, kind, set.String(), 2*len(run), func(i int, out *nft.Element) bool {
			return encodeBound(out, run[i/2].Element.Client, i%2 == 1, room.key[:0])
		})
		return
	}
	self.PutElements(m, kind, set.String(), len(run), func(i int, out *nft.Element) bool {
		e := &run[i].Element
		out.Key = appendKey(room.key[:0], e, false)
		if row.Ranges {
			out.KeyEnd = appendKey(room.end[:0], e, true)
		}
		if kind == unix.NFT_MSG_DELSETELEM {
			return true // the key is enough
		}
		out.Comment, out.Counter = e.Comment, e.Counter
		switch {
		case row.Verdict && e.Verdict == ruleset.VerdictDrop:
			out.HasVerdict, out.Verdict = true, nft.VerdictDrop
		case row.Verdict:
			out.HasVerdict, out.Verdict, out.Chain = true, nft.VerdictGoto, e.Verdict
		case row.Data != nil:
			out.Data = appendData(room.data[:0], e.Data, row.Data)
		}
		return true
	})
}

// encodeBound makes out the beginning or the end of a range. A range that ends with
// the address space has no end.
func encodeBound(out *nft.Element, p netip.Prefix, end bool, b []byte) bool {
	addr := p.Addr()
	if end {
		out.Flags = unix.NFT_SET_ELEM_INTERVAL_END
		if addr = inet.LastAddr(p).Next(); !addr.IsValid() {
			return false
		}
	}
	out.Key = appendAddr(b, addr)
	return true
}

// appendKey encodes a key, or its upper end if it is a range. In a concatenated
// key each component is padded to four bytes.
func appendKey(b []byte, e *ruleset.Element, end bool) []byte {
	for _, c := range e.Set.Spec().Key {
		switch c {
		case ruleset.PartVIP:
			b = appendAddr(b, e.Key.IP)
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
			b = appendAddr(b, addr)
		}
	}
	return b
}

// appendData encodes a backend, or the address alone if the map has no more.
func appendData(b []byte, at netip.AddrPort, parts []ruleset.Part) []byte {
	if len(parts) == 1 {
		return appendAddr(b, at.Addr())
	}
	return append(binary.BigEndian.AppendUint16(appendAddr(b, at.Addr()), at.Port()), 0, 0)
}

func appendAddr(b []byte, ip netip.Addr) []byte {
	if ip.Is4() {
		a := ip.As4()
		return append(b, a[:]...)
	}
	a := ip.As16()
	return append(b, a[:]...)
}
