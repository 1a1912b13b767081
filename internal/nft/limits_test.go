// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

var table = Table{Family: unix.NFPROTO_INET, Name: "t"}

// put encodes n elements and returns the messages.
func put(n int, e Element) *nl.Messages {
	m := &nl.Messages{}
	table.PutElements(m, unix.NFT_MSG_NEWSETELEM, "s", n, func(_ int, out *Element) bool { *out = e; return true })
	return m
}

// elements reads back what put encoded.
func elements(t *testing.T, m *nl.Messages) []Element {
	t.Helper()
	var out []Element
	var r Reader
	for b := m.Bytes(); len(b) > 0; {
		n := binary.NativeEndian.Uint32(b)
		r.Elements(nl.Reply{Body: b[unix.SizeofNlMsghdr:n]}, func(e *Element) { out = append(out, *e) })
		b = b[n:]
	}
	return out
}

// TestComment encodes comments of every length. One that nft would not read, or the kernel
// would cut, is an error; each other reads back whole.
func TestComment(t *testing.T) {
	for n := range 65_600 {
		if n > 600 && n < 65_500 {
			continue
		}
		text := strings.Repeat("c", n)
		m := put(1, Element{Key: []byte{1, 2, 3, 4}, Comment: text})
		if n > MaxComment {
			if !errors.Is(m.Err(), nl.ErrTooLarge) {
				t.Fatalf("%d bytes: %v", n, m.Err())
			}
			continue
		}
		if got := elements(t, m); m.Err() != nil || len(got) != 1 || got[0].Comment != text || got[0].Odd != 0 {
			t.Fatalf("%d bytes: %v, read %+v", n, m.Err(), got)
		}
	}
	if m := put(1, Element{Key: []byte{1}, Comment: "a\x00b"}); !errors.Is(m.Err(), nl.ErrZeroByte) {
		t.Errorf("a comment with a zero: %v", m.Err())
	}
}

// TestLists encodes 70,000 elements of each size that occurs, and larger ones: no list is
// longer than its attribute, and none loses an element.
func TestLists(t *testing.T) {
	for _, size := range []int{1, 36, 255, 4000} {
		e := Element{Key: make([]byte, size), Data: make([]byte, 20), Comment: strings.Repeat("c", MaxComment), Counter: true}
		const n = 70_000
		m := put(n, e)
		if m.Err() != nil {
			t.Fatalf("keys of %d bytes: %v", size, m.Err())
		}
		count := 0
		for _, got := range elements(t, m) {
			if len(got.Key) == size && len(got.Data) == 20 && got.Comment == e.Comment && got.Counter {
				count++
			}
		}
		if count != n {
			t.Errorf("keys of %d bytes: %d of %d elements", size, count, n)
		}
	}
	// Four headers and the padding of the value make 65,532 bytes of 65,516.
	for _, size := range []int{65_515, 65_516, 65_517, math.MaxUint16 - 1, math.MaxUint16, math.MaxUint16 + 1} {
		m := put(1, Element{Key: make([]byte, size)})
		if fits := size <= 65_516; fits != (m.Err() == nil) {
			t.Errorf("a key of %d bytes: %v", size, m.Err())
		}
	}
}

// TestLongRules encodes rules whose expressions are too long for an attribute, alone or
// together.
func TestLongRules(t *testing.T) {
	many := make([]expr.Any, 3000)
	for i := range many {
		many[i] = &expr.Verdict{Kind: expr.VerdictDrop}
	}
	for name, exprs := range map[string][]expr.Any{
		"a comparison with 64 KiB": {&expr.Cmp{Register: 1, Data: make([]byte, 1<<16)}},
		"one whose length wraps":   {&expr.Cmp{Register: 1, Data: make([]byte, 1<<16-unix.SizeofNlAttr)}},
		"an immediate":             {&expr.Immediate{Register: 1, Data: make([]byte, 1<<17)}},
		"a foreign one":            {&Foreign{raw: make([]byte, math.MaxUint16)}},
		"many":                     many,
	} {
		var m nl.Messages
		if err := errors.Join(table.AddRule(&m, "c", exprs), m.Err()); err == nil {
			t.Errorf("a rule with %s is encoded", name)
		}
		if _, err := EncodeExprs(unix.NFPROTO_INET, exprs); err == nil && len(exprs) == 1 {
			t.Errorf("%s is encoded for a file", name)
		}
	}
}

// TestNames gives each object a name that the kernel would cut.
func TestNames(t *testing.T) {
	const name = "a\x00b"
	for i, add := range []func(m *nl.Messages){
		func(m *nl.Messages) { Table{Name: name}.Add(m, 0) },
		func(m *nl.Messages) { table.AddSet(m, &Set{Name: name}, 1) },
		func(m *nl.Messages) { table.DeleteSet(m, name) },
		func(m *nl.Messages) { table.FlushSet(m, name) },
		func(m *nl.Messages) { table.AddChain(m, name, nil) },
		func(m *nl.Messages) { table.DeleteChain(m, name) },
		func(m *nl.Messages) { table.DeleteObject(m, name, 1) },
		func(m *nl.Messages) { table.DeleteObject(m, name, 0) },
		func(m *nl.Messages) { _ = table.AddRule(m, name, nil) },
		func(m *nl.Messages) { m.Reset(); *m = *put(1, Element{HasVerdict: true, Chain: name}) },
	} {
		var m nl.Messages
		add(&m)
		if !errors.Is(m.Err(), nl.ErrZeroByte) {
			t.Error(fmt.Sprint("object ", i), m.Err())
		}
	}
}
