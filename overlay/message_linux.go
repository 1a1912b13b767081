// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// requests are netlink messages that follow each other in one buffer.
type requests struct {
	b     []byte
	start int // of the newest message
}

const (
	headerLen = unix.SizeofNlMsghdr
	align     = 4
)

// begin starts a message, whose fixed part is body.
func (r *requests) begin(kind uint16, flags int, seq uint32, body ...byte) {
	r.start = len(r.b)
	r.b = append(r.b, make([]byte, headerLen)...)
	h := r.b[r.start:]
	binary.NativeEndian.PutUint16(h[4:], kind)
	binary.NativeEndian.PutUint16(h[6:], uint16(unix.NLM_F_REQUEST|flags))
	binary.NativeEndian.PutUint32(h[8:], seq)
	r.b = append(r.b, body...)
	r.end()
}

// end notes the length of the newest message as it is now.
func (r *requests) end() {
	r.pad()
	binary.NativeEndian.PutUint32(r.b[r.start:], uint32(len(r.b)-r.start))
}

func (r *requests) pad() {
	for len(r.b)%align != 0 {
		r.b = append(r.b, 0)
	}
}

// attr adds an attribute to the newest message.
func (r *requests) attr(kind uint16, data ...byte) {
	r.b = binary.NativeEndian.AppendUint16(r.b, uint16(4+len(data)))
	r.b = binary.NativeEndian.AppendUint16(r.b, kind)
	r.b = append(r.b, data...)
	r.end()
}

func (r *requests) u32(kind uint16, v uint32) {
	r.attr(kind, binary.NativeEndian.AppendUint32(nil, v)...)
}

func (r *requests) str(kind uint16, s string) { r.attr(kind, append([]byte(s), 0)...) }

// nest adds an attribute that is made of those that f adds.
func (r *requests) nest(kind uint16, f func()) {
	at := len(r.b)
	r.attr(kind | unix.NLA_F_NESTED)
	f()
	binary.NativeEndian.PutUint16(r.b[at:], uint16(len(r.b)-at))
	r.end()
}

// ack asks the kernel to confirm the newest message even if it succeeds.
func (r *requests) ack() {
	flags := r.b[r.start+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
}

// reply is one message of the kernel.
type reply struct {
	kind  uint16
	flags uint16
	seq   uint32
	body  []byte // valid until the next read
}

// replies walks over what one read returned, and ends at what makes no sense.
func replies(b []byte) iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for len(b) >= headerLen {
			n := int(binary.NativeEndian.Uint32(b))
			if n < headerLen || n > len(b) {
				return
			}
			r := reply{
				kind:  binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
				body:  b[headerLen:n],
			}
			if !yield(r) {
				return
			}
			b = b[min(len(b), (n+align-1)&^(align-1)):]
		}
	}
}

// attrs walks over attributes, and ends at what makes no sense.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < 4 || n > len(b) || !yield(kind, b[4:n]) {
				return
			}
			b = b[min(len(b), (n+align-1)&^(align-1)):]
		}
	}
}

// Readers of attributes: what is too short reads as zero.

func u8(b []byte) uint8 {
	if len(b) < 1 {
		return 0
	}
	return b[0]
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func be16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func str(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
