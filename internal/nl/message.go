// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	headerLen = unix.SizeofNlMsghdr
	attrLen   = unix.SizeofNlAttr
	align     = 4
)

// ErrTooLarge means that an attribute is longer than its 16-bit length can say, that a
// value is too large for its field, or that a write is larger than the send buffer of its
// socket. Nothing was sent.
var ErrTooLarge = errors.New("too large for netlink")

// ErrZeroByte means that a string contains a zero byte, which ends it for the kernel.
// Nothing was sent.
var ErrZeroByte = errors.New("contains a zero byte")

// Messages are netlink requests that follow each other in one buffer and are sent
// with one system call. Socket.Write and Socket.Dump number them. The zero value
// is empty and ready to use; a Messages must not be used by two goroutines at a
// time.
type Messages struct {
	b      []byte
	starts []int // offsets of the messages in b
	err    error // of the first value that cannot be sent
}

// Reset empties m and keeps its memory for the next messages.
func (m *Messages) Reset() { m.b, m.starts, m.err = m.b[:0], m.starts[:0], nil }

// Count returns the number of messages.
func (m *Messages) Count() int { return len(m.starts) }

// Size returns the length of all messages in bytes.
func (m *Messages) Size() int { return len(m.b) }

// Bytes returns all messages as they are sent, but for their sequence numbers. It
// is valid until the next message is added.
func (m *Messages) Bytes() []byte { return m.b }

// Err returns the error of the first value that cannot be sent; it wraps ErrTooLarge or
// ErrZeroByte, or is that of Fail. Write and Dump return the same error, so encoders need
// not check it.
func (m *Messages) Err() error { return m.err }

// Fail makes err the error of m unless it has one. Encoders call it for a value that
// their message cannot hold.
func (m *Messages) Fail(err error) {
	if m.err == nil {
		m.err = fmt.Errorf("encode message %d: %w", len(m.starts), err)
	}
}

// Begin starts the next message. kind is the type, flags are added to
// NLM_F_REQUEST, and body is the fixed part, such as struct ifinfomsg or struct
// nfgenmsg.
func (m *Messages) Begin(kind uint16, flags int, body ...byte) {
	if flags < 0 || flags > math.MaxUint16 {
		m.Fail(fmt.Errorf("flags %#x: %w", flags, ErrTooLarge))
	}
	start := len(m.b)
	m.starts = append(m.starts, start)
	m.b = append(m.b, make([]byte, headerLen)...)
	binary.NativeEndian.PutUint16(m.b[start+4:], kind)
	binary.NativeEndian.PutUint16(m.b[start+6:], uint16(unix.NLM_F_REQUEST|flags))
	m.b = append(m.b, body...)
	m.end()
}

// Ack asks the kernel to confirm the newest message even if it succeeds. The
// kernel reports failures in any case.
func (m *Messages) Ack() { m.flag(unix.NLM_F_ACK) }

// flag adds flags to the newest message.
func (m *Messages) flag(flags uint16) {
	b := m.b[m.starts[len(m.starts)-1]+6:]
	binary.NativeEndian.PutUint16(b, binary.NativeEndian.Uint16(b)|flags)
}

// end pads the newest message and writes its length.
func (m *Messages) end() {
	for len(m.b)%align != 0 {
		m.b = append(m.b, 0)
	}
	start := m.starts[len(m.starts)-1]
	binary.NativeEndian.PutUint32(m.b[start:], uint32(len(m.b)-start))
}

// Attr adds an attribute to the newest message, or to the attribute that Nest is
// filling.
func (m *Messages) Attr(kind uint16, data ...byte) {
	at := m.open(kind)
	m.b = append(m.b, data...)
	m.close(kind, at)
}

// U8 adds an attribute of one byte.
func (m *Messages) U8(kind uint16, v uint8) {
	at := m.open(kind)
	m.b = append(m.b, v)
	m.close(kind, at)
}

// U16 adds an attribute of two bytes in the order of the machine.
func (m *Messages) U16(kind, v uint16) {
	at := m.open(kind)
	m.b = binary.NativeEndian.AppendUint16(m.b, v)
	m.close(kind, at)
}

// U32 adds an attribute of four bytes in the order of the machine, as rtnetlink
// takes them.
func (m *Messages) U32(kind uint16, v uint32) {
	at := m.open(kind)
	m.b = binary.NativeEndian.AppendUint32(m.b, v)
	m.close(kind, at)
}

// BE16 adds an attribute of two bytes in network order.
func (m *Messages) BE16(kind, v uint16) {
	at := m.open(kind)
	m.b = binary.BigEndian.AppendUint16(m.b, v)
	m.close(kind, at)
}

// BE32 adds an attribute of four bytes in network order, as nf_tables takes them.
func (m *Messages) BE32(kind uint16, v uint32) {
	at := m.open(kind)
	m.b = binary.BigEndian.AppendUint32(m.b, v)
	m.close(kind, at)
}

// BE64 adds an attribute of eight bytes in network order.
func (m *Messages) BE64(kind uint16, v uint64) {
	at := m.open(kind)
	m.b = binary.BigEndian.AppendUint64(m.b, v)
	m.close(kind, at)
}

// String adds an attribute that is a string with a final zero. A zero within s is
// ErrZeroByte, because the kernel would read a shorter string.
func (m *Messages) String(kind uint16, s string) {
	if strings.IndexByte(s, 0) >= 0 {
		m.Fail(fmt.Errorf("attribute %d %q: %w", kind, s, ErrZeroByte))
	}
	at := m.open(kind)
	m.b = append(m.b, s...)
	m.b = append(m.b, 0)
	m.close(kind, at)
}

// Nest adds an attribute that consists of those that f adds. It sets NLA_F_NESTED.
func (m *Messages) Nest(kind uint16, f func()) {
	at := m.open(kind | unix.NLA_F_NESTED)
	f()
	m.close(kind, at)
}

// open begins an attribute and returns where it starts.
func (m *Messages) open(kind uint16) int {
	at := len(m.b)
	m.b = append(m.b, 0, 0)
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
	return at
}

// close writes the length of the attribute that starts at at.
func (m *Messages) close(kind uint16, at int) {
	n := len(m.b) - at
	if n > math.MaxUint16 {
		m.Fail(fmt.Errorf("attribute %d has %d bytes, the limit is %d: %w",
			kind&^unix.NLA_F_NESTED, n-attrLen, math.MaxUint16-attrLen, ErrTooLarge))
	}
	binary.NativeEndian.PutUint16(m.b[at:], uint16(min(n, math.MaxUint16)))
	m.end()
}

// number gives the messages sequence numbers that start at first.
func (m *Messages) number(first uint32) {
	for i, start := range m.starts {
		binary.NativeEndian.PutUint32(m.b[start+8:], first+uint32(i))
	}
}
