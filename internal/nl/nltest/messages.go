// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nltest

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const headerLen = unix.SizeofNlMsghdr

// messages returns the offsets of the messages in b.
func messages(b []byte) []int {
	var out []int
	for at := 0; at+headerLen <= len(b); {
		n := int(binary.NativeEndian.Uint32(b[at:]))
		if n < headerLen || at+n > len(b) {
			break
		}
		out = append(out, at)
		at += (n + 3) &^ 3
	}
	return out
}

// number is len(messages(b)) without an allocation.
func number(b []byte) (out int) {
	for len(b) >= headerLen {
		n := int(binary.NativeEndian.Uint32(b))
		if n < headerLen || n > len(b) {
			break
		}
		out++
		b = b[min((n+3)&^3, len(b)):]
	}
	return out
}

func kind(b []byte) uint16 { return binary.NativeEndian.Uint16(b[4:]) }

func isTransaction(b []byte) bool { return kind(b) == unix.NFNL_MSG_BATCH_BEGIN }

// isQuery reports whether b changes nothing. Changes of nf_tables are transactions, and
// each third of four message types of rtnetlink is a question.
func isQuery(b []byte) bool { return !isTransaction(b) && (kind(b)>>8 != 0 || kind(b)&3 == 2) }

func isDump(b []byte) bool {
	return binary.NativeEndian.Uint16(b[6:])&unix.NLM_F_DUMP == unix.NLM_F_DUMP
}

// wouldLie reports whether a refusal would be a false statement about one object rather
// than a failure.
func wouldLie(b []byte, f Fault) bool { return f.Errno == unix.ENOENT && isQuery(b) && !isDump(b) }

// refuse returns the answers of a kernel that refuses the operation in the middle of
// b. Outside of transactions it takes that operation out of b, so that the kernel
// carries out the others.
func refuse(b []byte, f Fault) []byte {
	all := messages(b)
	i := len(all) / 2
	transaction := isTransaction(b)
	if transaction {
		i = 1 + (len(all)-2)/2 // between the marks
		i = min(i, len(all)-2)
		if f.Place == RefuseWhole {
			i = 0
		}
	}
	at := all[i]
	answer := refusal(b[at:at+headerLen], f.Errno)
	switch {
	case transaction && f.Errno != unix.ENOMEM && i != len(all)-2:
		// The last operation asked for an answer and gets one, but from a kernel without
		// memory.
		answer = append(answer, refusal(b[all[len(all)-2]:][:headerLen], 0)...)
	case transaction || isQuery(b):
	default:
		binary.NativeEndian.PutUint16(b[at+4:], unix.NLMSG_NOOP)
	}
	return answer
}

// refusal is NLMSG_ERROR for a request with the given header.
func refusal(header []byte, errno unix.Errno) []byte {
	const capped = 0x100 // NLM_F_CAPPED
	out := make([]byte, headerLen+4, headerLen+4+headerLen)
	binary.NativeEndian.PutUint32(out, headerLen+4+headerLen)
	binary.NativeEndian.PutUint16(out[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint16(out[6:], capped)
	copy(out[8:16], header[8:16])
	binary.NativeEndian.PutUint32(out[headerLen:], uint32(-int32(errno)))
	return append(out, header...)
}

// interrupt marks all messages in b as parts of a dump that was interrupted.
func interrupt(b []byte) {
	for _, at := range messages(b) {
		flags := binary.NativeEndian.Uint16(b[at+6:])
		binary.NativeEndian.PutUint16(b[at+6:], flags|unix.NLM_F_DUMP_INTR)
	}
}
