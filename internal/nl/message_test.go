// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMessages encodes two messages and reads them back.
func TestMessages(t *testing.T) {
	var m Messages
	m.Begin(16, unix.NLM_F_CREATE, 1, 2, 3) // odd on purpose
	m.String(3, "eth0")
	m.Nest(18, func() {
		m.String(1, "vxlan")
		m.Nest(2, func() {
			m.U32(1, 77)
			m.BE16(15, 8472)
			m.BE64(16, 1<<40)
		})
	})
	m.Begin(17, 0)
	m.U16(1, 513)
	m.U8(2, 9)
	m.BE32(3, 10)
	m.Attr(4)
	m.Ack()
	m.number(41)
	if m.Err() != nil || m.Count() != 2 || m.Size() != len(m.b) {
		t.Fatalf("error %v, %d messages, %d bytes", m.Err(), m.Count(), m.Size())
	}

	first, rest, err := next(m.b)
	if err != nil || first.Kind != 16 || first.Flags != unix.NLM_F_REQUEST|unix.NLM_F_CREATE || first.Seq != 41 {
		t.Fatalf("%+v: %v", first, err)
	}
	second, rest, err := next(rest)
	if err != nil || second.Kind != 17 || second.Flags != unix.NLM_F_REQUEST|unix.NLM_F_ACK || second.Seq != 42 || len(rest) != 0 {
		t.Fatalf("%+v, %d bytes more: %v", second, len(rest), err)
	}
	body := first.Body[4:]
	data := Attr(Attr(body, 18), 2)
	if String(Attr(body, 3)) != "eth0" || String(Attr(Attr(body, 18), 1)) != "vxlan" ||
		U32(Attr(data, 1)) != 77 || BE16(Attr(data, 15)) != 8472 || BE64(Attr(data, 16)) != 1<<40 {
		t.Errorf("first message: %x", body)
	}
	b := second.Body
	if U16(Attr(b, 1)) != 513 || U8(Attr(b, 2)) != 9 || BE32(Attr(b, 3)) != 10 || len(Attr(b, 4)) != 0 || Attr(b, 5) != nil {
		t.Errorf("second message: %x", b)
	}
}

// TestTooLarge fills attributes up to their limit and beyond.
func TestTooLarge(t *testing.T) {
	const limit = math.MaxUint16 - attrLen
	many := func(m *Messages) {
		for range 1638 { // 40 bytes each: 65,520
			m.Nest(1, func() { m.Attr(1, make([]byte, 32)...) })
		}
	}
	for _, tt := range []struct {
		name  string
		fill  func(*Messages)
		large bool
	}{
		{"an attribute of the limit", func(m *Messages) { m.Attr(1, make([]byte, limit)...) }, false},
		{"an attribute of one byte more", func(m *Messages) { m.Attr(1, make([]byte, limit+1)...) }, true},
		{"a string of the limit with its zero", func(m *Messages) { m.String(1, strings.Repeat("x", limit-1)) }, false},
		{"a string of one byte more", func(m *Messages) { m.String(1, strings.Repeat("x", limit)) }, true},
		{"an attribute whose length would wrap to 0", func(m *Messages) { m.Attr(1, make([]byte, 1<<16-attrLen)...) }, true},
		{"flags of 16 bits", func(m *Messages) { m.Begin(1, math.MaxUint16) }, false},
		{"flags of 17 bits", func(m *Messages) { m.Begin(1, math.MaxUint16+1) }, true},
		{"many attributes in one", func(m *Messages) { m.Nest(1, func() { many(m) }) }, false},
		{"one more", func(m *Messages) { m.Nest(1, func() { many(m); m.Attr(1, make([]byte, 32)...) }) }, true},
		{"the same two levels up", func(m *Messages) { m.Nest(1, func() { m.Nest(2, func() { many(m); m.Attr(1, make([]byte, 32)...) }) }) }, true},
	} {
		var m Messages
		m.Begin(1, 0)
		tt.fill(&m)
		if err := m.Err(); errors.Is(err, ErrTooLarge) != tt.large {
			t.Errorf("%s: %v", tt.name, err)
		}
		m.Reset()
		if m.Err() != nil || m.Count() != 0 || m.Size() != 0 {
			t.Errorf("%s: not empty after Reset", tt.name)
		}
	}
}

// TestZeroByte adds strings that the kernel would cut.
func TestZeroByte(t *testing.T) {
	for _, text := range []string{"\x00", "a\x00", "\x00a", "a\x00b"} {
		var m Messages
		m.Begin(1, 0)
		m.String(1, text)
		if !errors.Is(m.Err(), ErrZeroByte) {
			t.Errorf("%q: %v", text, m.Err())
		}
	}
}

// TestFail keeps the first error.
func TestFail(t *testing.T) {
	var m Messages
	m.Begin(1, 0)
	m.Fail(ErrLost)
	m.Attr(1, make([]byte, 1<<16)...)
	if !errors.Is(m.Err(), ErrLost) || errors.Is(m.Err(), ErrTooLarge) {
		t.Error(m.Err())
	}
}

// TestMalformed reads lengths that lie.
func TestMalformed(t *testing.T) {
	var m Messages
	m.Begin(1, 0)
	m.String(2, "x")
	for n := 1; n < len(m.b); n++ {
		if _, _, err := next(m.b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(m.b), err)
		}
	}
	short := bytes.Clone(m.b)
	short[0] = headerLen - 1
	if _, _, err := next(short); !errors.Is(err, ErrMalformed) {
		t.Errorf("a length below that of the header: %v", err)
	}
	attrs := m.b[headerLen:]
	for n := range attrs {
		for range Attrs(attrs[:min(n, 5)]) {
			t.Errorf("an attribute in %d bytes", n)
		}
	}
	for _, kind := range []uint16{unix.NLMSG_ERROR, unix.NLMSG_DONE} {
		if err := failure(Reply{Kind: kind, Body: []byte{1, 2, 3}}); !errors.Is(err, ErrMalformed) {
			t.Errorf("type %d: %v", kind, err)
		}
	}
}

// TestReaders makes sure that what is too short reads as zero.
func TestReaders(t *testing.T) {
	for n := range 8 {
		b := bytes.Repeat([]byte{1}, n)
		for size, v := range map[int]uint64{1: uint64(U8(b)), 2: uint64(U16(b)) | uint64(BE16(b)), 4: uint64(U32(b)) | uint64(BE32(b)), 8: BE64(b)} {
			if (v != 0) != (n >= size) {
				t.Errorf("%d bytes read as a number of %d: %x", n, size, v)
			}
		}
	}
	if got := String([]byte("eth0\x00x")) + String([]byte("eth1")); got != "eth0eth1" {
		t.Error(got)
	}
}
