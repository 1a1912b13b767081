// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Shorten appends to out the fields of a message that are kept. It reports false for what
// is no message; the decoder of the whole message then says what is wrong. A kept field
// decodes to the same value as in the whole message, because its bytes are the same but
// for the fields in it that are left out.
func (m Message) Shorten(out, message []byte) ([]byte, bool) {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return out, false
		}
		value := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if value < 0 {
			return out, false
		}
		whole := message[:tag+value]
		message = message[tag+value:]
		f, kept := m[uint32(number)]
		switch {
		case !kept:
		case f.of == nil && f.keys == nil:
			out = append(out, whole...)
		case kind != protowire.BytesType:
			return out, false
		default:
			var ok bool
			if out, ok = f.shorten(out, whole, tag); !ok {
				return out, false
			}
		}
	}
	return out, true
}

// shorten does so for a field that is a message or an entry of a map. The field begins with
// a tag of that many bytes.
func (f field) shorten(out, whole []byte, tag int) ([]byte, bool) {
	content, n := protowire.ConsumeBytes(whole[tag:])
	if n < 0 {
		return out, false
	}
	if f.of == nil {
		key, ok := keyOf(content)
		if ok && slices.ContainsFunc(f.keys, func(k string) bool { return matches(k, key) }) {
			out = append(out, whole...)
		}
		return out, ok
	}
	out = append(out, whole[:tag]...)
	at := len(out)
	out, ok := f.of.Shorten(append(out, 0x80, 0x80, 0x80, 0), content)
	size := len(out) - at - lengthSize
	if size >= 1<<(7*lengthSize) {
		return out, false
	}
	for i := range lengthSize {
		out[at+i] |= byte(size>>(7*i)) & 0x7f
	}
	return out, ok
}

// matches reports whether a key is k, or begins with k if that ends with a slash.
func matches(k string, key []byte) bool {
	if strings.HasSuffix(k, "/") {
		return bytes.HasPrefix(key, []byte(k))
	}
	return k == string(key)
}

// lengthSize is how many bytes the length of a shortened message takes, whatever its value.
const lengthSize = 4

// keyOf returns the key of an entry of a map: the last one counts.
func keyOf(entry []byte) (key []byte, ok bool) {
	for len(entry) > 0 {
		number, kind, tag := protowire.ConsumeTag(entry)
		if tag < 0 {
			return nil, false
		}
		value := protowire.ConsumeFieldValue(number, kind, entry[tag:])
		if value < 0 {
			return nil, false
		}
		if number == 1 {
			if kind != protowire.BytesType {
				return nil, false
			}
			key, _ = protowire.ConsumeBytes(entry[tag:])
		}
		entry = entry[tag+value:]
	}
	return key, true
}
