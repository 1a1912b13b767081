// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Element is one element of a set or map. The slices belong to whoever filled
// them in.
type Element struct {
	Key    []byte
	KeyEnd []byte // end of a range in a concatenated key
	Flags  uint32 // NFT_SET_ELEM_...
	Data   []byte // of a map of data
	// Verdict is the verdict of a verdict map, with the chain of a goto or jump.
	// HasVerdict tells it from NF_DROP, which is 0.
	HasVerdict bool
	Verdict    int32
	Chain      string
	Comment    string
	// Counter says that the element counts packets, and Packets and Bytes how many.
	Counter        bool
	Packets, Bytes uint64
	// Timeout is the lifetime of the element, and Expires what is left of it, both
	// in milliseconds and 0 for none.
	Timeout, Expires uint64
	// Odd is set by Elements for an element with anything that a batch of ours does not
	// write.
	Odd Odd
}

// maxList bounds the list of elements in one message. The list is an attribute,
// whose length has 16 bits; one element takes a few hundred bytes at most.
const maxList = 60 << 10

// PutElements adds messages that add (NFT_MSG_NEWSETELEM) or delete
// (NFT_MSG_DELSETELEM) up to n elements of a set, as many as their size takes.
// fill sets the i-th element, which is empty, and returns false to leave it out.
func (t Table) PutElements(m *nl.Messages, kind uint16, set string, n int, fill func(i int, e *Element) bool) {
	flags := 0
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	var e Element
	for i := 0; i < n; {
		t.in(m, kind, flags)
		m.String(unix.NFTA_SET_ELEM_LIST_SET, set)
		m.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
			for start := m.Size(); i < n && m.Size()-start < maxList; i++ {
				if e = (Element{}); fill(i, &e) {
					m.Nest(unix.NFTA_LIST_ELEM, func() { e.put(m) })
				}
			}
		})
	}
}

// setElemCatchall is NFT_SET_ELEM_CATCHALL.
const setElemCatchall = 2

// GetElement asks for the element of a set that has a key. No key stands for the element that
// matches all other keys (NFT_SET_ELEM_CATCHALL, 5.13).
func (t Table) GetElement(m *nl.Messages, set string, key []byte) {
	t.PutElements(m, unix.NFT_MSG_GETSETELEM, set, 1, func(_ int, e *Element) bool {
		if e.Key = key; len(key) == 0 {
			e.Flags = setElemCatchall
		}
		return true
	})
}

func (e *Element) put(m *nl.Messages) {
	if e.Flags != 0 {
		m.BE32(unix.NFTA_SET_ELEM_FLAGS, e.Flags)
	}
	value := func(kind uint16, b []byte) {
		if len(b) > 0 {
			m.Nest(kind, func() { m.Attr(unix.NFTA_DATA_VALUE, b...) })
		}
	}
	value(unix.NFTA_SET_ELEM_KEY, e.Key)
	value(setElemKeyEnd, e.KeyEnd)
	value(unix.NFTA_SET_ELEM_DATA, e.Data)
	if e.HasVerdict {
		m.Nest(unix.NFTA_SET_ELEM_DATA, func() {
			m.Nest(unix.NFTA_DATA_VERDICT, func() {
				m.BE32(unix.NFTA_VERDICT_CODE, uint32(e.Verdict))
				if e.Chain != "" {
					m.String(unix.NFTA_VERDICT_CHAIN, e.Chain)
				}
			})
		})
	}
	if e.Timeout != 0 {
		m.BE64(unix.NFTA_SET_ELEM_TIMEOUT, e.Timeout)
	}
	if e.Expires != 0 {
		m.BE64(unix.NFTA_SET_ELEM_EXPIRATION, e.Expires)
	}
	if e.Comment != "" {
		e.putComment(m)
	}
	if e.Counter {
		m.Nest(unix.NFTA_SET_ELEM_EXPR, func() {
			m.String(unix.NFTA_EXPR_NAME, "counter")
			m.Nest(unix.NFTA_EXPR_DATA, func() {})
		})
	}
}

// MaxComment is the longest comment that nft reads (NFTNL_UDATA_COMMENT_MAXLEN). The
// kernel takes 256 bytes of user data, and their length is one byte.
const MaxComment = 128

// putComment adds a comment as nft stores it: type, length, text, zero.
func (e *Element) putComment(m *nl.Messages) {
	n := len(e.Comment)
	if n > MaxComment {
		m.Fail(fmt.Errorf("a comment has %d bytes, the limit is %d: %w", n, MaxComment, nl.ErrTooLarge))
		return
	}
	if strings.IndexByte(e.Comment, 0) >= 0 {
		m.Fail(fmt.Errorf("comment %q: %w", e.Comment, nl.ErrZeroByte))
		return
	}
	var room [MaxComment + 3]byte
	b := append(room[:0], byte(userdata.NFTNL_UDATA_SET_ELEM_COMMENT), byte(n+1))
	m.Attr(unix.NFTA_SET_ELEM_USERDATA, append(append(b, e.Comment...), 0)...)
}

// readComment is the inverse of putComment. It ignores the flags that nft adds to the last
// range of a set for its listing, and reports false for other user data.
func readComment(b []byte) (comment []byte, ok bool) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return nil, false
		}
		kind, v := userdata.Type(b[0]), b[2:2+int(b[1])]
		b = b[2+len(v):]
		switch {
		case kind == userdata.NFTNL_UDATA_SET_ELEM_FLAGS:
		case kind == userdata.NFTNL_UDATA_SET_ELEM_COMMENT && len(v) > 0 && v[len(v)-1] == 0:
			comment = v[:len(v)-1]
		default:
			return nil, false
		}
	}
	return comment, true
}

// Reader reads elements. It keeps one copy of each comment and name of a chain, which
// many elements have in common. The zero value is ready for use.
type Reader struct {
	texts   map[string]string
	element Element // of one message after the other, so that none of them allocates
}

// Elements calls each for the elements in one message of a dump or notification.
// The element and its slices are valid until each returns; its strings remain valid.
func (r *Reader) Elements(reply nl.Reply, each func(*Element)) {
	e := &r.element
	for _, item := range nl.Attrs(nl.Attr(body(reply), unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		*e = Element{}
		for kind, v := range nl.Attrs(item) {
			r.read(e, kind, v)
		}
		each(e)
	}
}

// ElementKeys calls each for the key of each element in a message. A key is valid until the
// next read.
func ElementKeys(reply nl.Reply, each func(key []byte)) {
	for _, item := range nl.Attrs(nl.Attr(body(reply), unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		each(nl.Attr(nl.Attr(item, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE))
	}
}

// text returns the copy of a text.
func (r *Reader) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s, known := r.texts[string(b)]
	if !known {
		if r.texts == nil {
			r.texts = map[string]string{}
		}
		s = string(b)
		r.texts[s] = s
	}
	return s
}

func (r *Reader) read(e *Element, kind uint16, v []byte) {
	switch kind {
	case unix.NFTA_SET_ELEM_KEY:
		e.Key = nl.Attr(v, unix.NFTA_DATA_VALUE)
	case setElemKeyEnd:
		e.KeyEnd = nl.Attr(v, unix.NFTA_DATA_VALUE)
	case unix.NFTA_SET_ELEM_DATA:
		r.readData(e, v)
	case unix.NFTA_SET_ELEM_FLAGS:
		e.Flags = nl.BE32(v)
	case unix.NFTA_SET_ELEM_USERDATA:
		comment, ok := readComment(v)
		e.Comment = r.text(comment)
		if !ok {
			e.Odd |= OddUserData
		}
	case unix.NFTA_SET_ELEM_EXPR:
		e.readCounter(v)
	case unix.NFTA_SET_ELEM_TIMEOUT:
		e.Timeout = nl.BE64(v)
		e.Odd |= OddTimeout
	case unix.NFTA_SET_ELEM_EXPIRATION:
		e.Expires = nl.BE64(v)
		e.Odd |= OddTimeout
	case unix.NFTA_SET_ELEM_PAD:
	case unix.NFTA_SET_ELEM_OBJREF:
		e.Odd |= OddObject
	default: // several expressions
		e.Odd |= OddExpression
	}
}

func (r *Reader) readData(e *Element, v []byte) {
	for kind, data := range nl.Attrs(v) {
		switch kind {
		case unix.NFTA_DATA_VALUE:
			e.Data = data
		case unix.NFTA_DATA_VERDICT:
			e.HasVerdict = true
			e.Verdict = int32(nl.BE32(nl.Attr(data, unix.NFTA_VERDICT_CODE)))
			e.Chain = r.text(bytes.TrimSuffix(nl.Attr(data, unix.NFTA_VERDICT_CHAIN), []byte{0}))
		}
	}
}

func (e *Element) readCounter(v []byte) {
	if nl.String(nl.Attr(v, unix.NFTA_EXPR_NAME)) != "counter" {
		e.Odd |= OddExpression
		return
	}
	e.Counter = true
	data := nl.Attr(v, unix.NFTA_EXPR_DATA)
	e.Packets = nl.BE64(nl.Attr(data, unix.NFTA_COUNTER_PACKETS))
	e.Bytes = nl.BE64(nl.Attr(data, unix.NFTA_COUNTER_BYTES))
}

// Verdicts of elements.
const (
	VerdictDrop = int32(expr.VerdictDrop)
	VerdictGoto = int32(expr.VerdictGoto)
)
