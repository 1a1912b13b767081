// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"fairlead/internal/inet"
)

// Elements is a list of elements that takes little memory: about 25 bytes for each of an
// IPv4 backend, and no pointers. A table may have as many as a cluster has endpoints. The
// zero value is an empty list.
type Elements struct {
	chunks [][]byte
	n      int
	// texts are comments and verdicts by number, which many elements have in common.
	texts  []string
	number map[string]uint32
}

// chunkSize bounds the piece that is copied when a list grows.
const chunkSize = 64 << 10

// Mark is a length of a list that Cut goes back to.
type Mark struct{ n, chunks, last int }

// Len returns the number of elements.
func (l *Elements) Len() int { return l.n }

// Mark returns the present length.
func (l *Elements) Mark() Mark {
	m := Mark{n: l.n, chunks: len(l.chunks)}
	if m.chunks > 0 {
		m.last = len(l.chunks[m.chunks-1])
	}
	return m
}

// Cut removes the elements that were added since a mark was taken.
func (l *Elements) Cut(m Mark) {
	l.n, l.chunks = m.n, l.chunks[:m.chunks]
	if m.chunks > 0 {
		l.chunks[m.chunks-1] = l.chunks[m.chunks-1][:m.last]
	}
}

// Bits of the first byte of an element. Those for an address are followed by its bytes.
const (
	hasCounter = 1 << iota
	hasKey
	hasSlot
	hasClient
	hasData
	hasVerdict
	hasComment
)

// maxElement is more than an element takes: three addresses and their lengths, and some
// numbers.
const maxElement = 96

// Add appends an element.
func (l *Elements) Add(e *Element) {
	if n := len(l.chunks); n == 0 || len(l.chunks[n-1]) > chunkSize-maxElement {
		l.chunks = append(l.chunks, make([]byte, 0, chunkSize))
	}
	last := len(l.chunks) - 1
	l.chunks[last] = l.put(l.chunks[last], e)
	l.n++
}

func (l *Elements) put(b []byte, e *Element) []byte {
	at := len(b)
	b = append(b, 0, byte(e.Set.Kind), byte(e.Set.Family), e.Set.Number)
	var has byte
	if e.Counter {
		has |= hasCounter
	}
	if e.Key != (inet.Addr{}) {
		has |= hasKey
		b = putAddr(b, e.Key.IP)
		b = append(binary.NativeEndian.AppendUint16(b, e.Key.Port), byte(e.Key.Proto))
	}
	if e.Slot != 0 {
		has |= hasSlot
		b = binary.NativeEndian.AppendUint32(b, e.Slot)
	}
	if e.Client != (netip.Prefix{}) {
		has |= hasClient
		b = append(putAddr(b, e.Client.Addr()), byte(e.Client.Bits()))
	}
	if e.Data != (netip.AddrPort{}) {
		has |= hasData
		b = binary.NativeEndian.AppendUint16(putAddr(b, e.Data.Addr()), e.Data.Port())
	}
	if e.Verdict != "" {
		has |= hasVerdict
		b = binary.NativeEndian.AppendUint32(b, l.text(e.Verdict))
	}
	if e.Comment != "" {
		has |= hasComment
		b = binary.NativeEndian.AppendUint32(b, l.text(e.Comment))
	}
	b[at] = has
	return b
}

func (l *Elements) text(s string) uint32 {
	n, known := l.number[s]
	if !known {
		if l.number == nil {
			l.number = map[string]uint32{}
		}
		n = uint32(len(l.texts))
		l.texts, l.number[s] = append(l.texts, s), n
	}
	return n
}

// putAddr appends an address, which has no zone, behind its length.
func putAddr(b []byte, ip netip.Addr) []byte {
	switch {
	case ip.Is4():
		a := ip.As4()
		return append(append(b, 4), a[:]...)
	case ip.Is6():
		a := ip.As16()
		return append(append(b, 16), a[:]...)
	}
	return append(b, 0)
}

// All returns the elements in their order. Each is valid until the next one.
func (l *Elements) All() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		var e Element
		for _, b := range l.chunks {
			for len(b) > 0 {
				if b = l.take(b, &e); !yield(&e) {
					return
				}
			}
		}
	}
}

// take reads the first element of b and returns the rest.
func (l *Elements) take(b []byte, e *Element) []byte {
	r := reader(b)
	has := r.byte()
	*e = Element{Set: Set{Kind: Kind(r.byte()), Family: inet.Family(r.byte()), Number: r.byte()}, Counter: has&hasCounter != 0}
	if has&hasKey != 0 {
		e.Key = inet.Addr{IP: r.addr(), Port: r.u16(), Proto: inet.Proto(r.byte())}
	}
	if has&hasSlot != 0 {
		e.Slot = r.u32()
	}
	if has&hasClient != 0 {
		ip := r.addr()
		e.Client = netip.PrefixFrom(ip, int(r.byte()))
	}
	if has&hasData != 0 {
		ip := r.addr()
		e.Data = netip.AddrPortFrom(ip, r.u16())
	}
	if has&hasVerdict != 0 {
		e.Verdict = l.texts[r.u32()]
	}
	if has&hasComment != 0 {
		e.Comment = l.texts[r.u32()]
	}
	return r
}

// reader takes what put wrote.
type reader []byte

func (r *reader) byte() byte { return r.next(1)[0] }

func (r *reader) u16() uint16 { return binary.NativeEndian.Uint16(r.next(2)) }

func (r *reader) u32() uint32 { return binary.NativeEndian.Uint32(r.next(4)) }

func (r *reader) addr() netip.Addr {
	ip, _ := netip.AddrFromSlice(r.next(int(r.byte())))
	return ip
}

func (r *reader) next(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}
