// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"
)

// Reply is one message of the kernel.
type Reply struct {
	Kind  uint16
	Flags uint16
	Seq   uint32
	// Port is the netlink port of the socket whose request caused a notification,
	// 0 for the kernel itself. Notifications about FDB entries and about deleted
	// neighbours have 0 whatever caused them.
	Port uint32
	// Body is the fixed part and the attributes. It is valid until the next read.
	Body []byte
}

// ErrMalformed means that what the kernel sent has lengths that contradict each
// other.
var ErrMalformed = errors.New("malformed netlink message")

// next splits the first message off b.
func next(b []byte) (r Reply, rest []byte, err error) {
	if len(b) < headerLen {
		return r, nil, fmt.Errorf("read header from %d bytes: %w", len(b), ErrMalformed)
	}
	n := binary.NativeEndian.Uint32(b)
	if n < headerLen || uint64(n) > uint64(len(b)) {
		return r, nil, fmt.Errorf("read message of %d bytes from %d: %w", n, len(b), ErrMalformed)
	}
	r = Reply{
		Kind:  binary.NativeEndian.Uint16(b[4:]),
		Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq:   binary.NativeEndian.Uint32(b[8:]),
		Port:  binary.NativeEndian.Uint32(b[12:]),
		Body:  b[headerLen:n],
	}
	return r, b[min(len(b), padded(int(n))):], nil
}

// isLast reports whether a message is the answer of the kernel to the last one of a request.
func isLast(b []byte, last uint32) bool {
	return len(b) >= headerLen && binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && binary.NativeEndian.Uint32(b[8:]) == last
}

func padded(n int) int { return (n + align - 1) &^ (align - 1) }

// Attrs walks over attributes without the flags in their types. It ends at an
// attribute whose length contradicts that of b.
func Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrLen {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < attrLen || n > len(b) || !yield(kind, b[attrLen:n]) {
				return
			}
			b = b[min(len(b), padded(n)):]
		}
	}
}

// Attr returns the contents of the first attribute of a kind, or nil.
func Attr(b []byte, kind uint16) []byte {
	for k, v := range Attrs(b) {
		if k == kind {
			return v
		}
	}
	return nil
}

// U8 returns the number in b, or 0 if b is too short; so do the other readers.
func U8(b []byte) uint8 {
	if len(b) < 1 {
		return 0
	}
	return b[0]
}

// U16 reads two bytes in the order of the machine.
func U16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(b)
}

// U32 reads four bytes in the order of the machine.
func U32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// BE16 reads two bytes in network order.
func BE16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// BE32 reads four bytes in network order.
func BE32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// BE64 reads eight bytes in network order.
func BE64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// String reads a string up to its final zero, if it has one.
func String(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

const (
	ackCapped = 0x100 // NLM_F_CAPPED: the answer does not repeat the request (4.3)
	ackTLVs   = 0x200 // NLM_F_ACK_TLVS: attributes follow (4.12)
	ackText   = 1     // NLMSGERR_ATTR_MSG
)

// failure returns the error that an NLMSG_ERROR or NLMSG_DONE reports: an errno,
// wrapped with the kernel's own words where it has any. nil means success.
func failure(r Reply) error {
	if len(r.Body) < 4 {
		return fmt.Errorf("read errno from %d bytes: %w", len(r.Body), ErrMalformed)
	}
	errno := unix.Errno(-int32(U32(r.Body)))
	if errno == 0 {
		return nil
	}
	attrs := 4 // of NLMSG_DONE, which repeats nothing
	if r.Kind == unix.NLMSG_ERROR {
		if len(r.Body) < 4+headerLen {
			return fmt.Errorf("read error from %d bytes: %w", len(r.Body), ErrMalformed)
		}
		attrs += headerLen
		if r.Flags&ackCapped == 0 {
			attrs = 4 + padded(int(U32(r.Body[4:])))
		}
	}
	if r.Flags&ackTLVs == 0 || attrs > len(r.Body) {
		return errno
	}
	if text := Attr(r.Body[attrs:], ackText); text != nil {
		return fmt.Errorf("%w: %s", errno, String(text))
	}
	return errno
}
