// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// layout holds the offsets of fields in struct ipt_entry or ip6t_entry of a 64-bit
// kernel. Addresses are at its beginning: source, destination and their masks.
type layout struct {
	addr, proto, flags, invert, offsets, size int
	gotoFlag, protoFlag                       byte
	family                                    xt.TableFamily
}

func layoutOf(family string) layout {
	if family == "ip" {
		return layout{addr: 4, proto: 80, flags: 82, invert: 83, offsets: 88, size: 112, gotoFlag: 2, family: 2}
	}
	return layout{addr: 16, proto: 128, flags: 131, invert: 132, offsets: 140, size: 168, gotoFlag: 4, protoFlag: 1, family: 10}
}

// Bits of invflags, the same for both families.
const (
	invIn    = 0x01
	invOut   = 0x02
	invSrc   = 0x08
	invDst   = 0x10
	invProto = 0x40
)

const (
	xtHead    = 32 // of struct xt_entry_match and xt_entry_target: size, name, revision
	inputAt   = 1  // NF_INET_LOCAL_IN
	forwardAt = 2  // NF_INET_FORWARD
)

// builtin returns the chain of a hook. A chain of another hook gets a name that nothing
// jumps to.
func builtin(at int) *chain {
	switch at {
	case inputAt:
		return &chain{name: "INPUT", base: true, hook: inputHook, policy: accept}
	case forwardAt:
		return &chain{name: "FORWARD", base: true, hook: forwardHook, policy: accept}
	}
	return &chain{name: fmt.Sprintf("hook %d", at)}
}

var errBlob = errors.New("rules are not laid out as expected")

// entry is one rule of the blob.
type entry struct {
	layout
	raw    []byte // the entry alone
	target int    // offset of the target in it
	start  int    // offset of the entry in the blob
}

// parse makes chains of the blob: the built-in ones begin where the hooks say,
// the others with an entry whose target is an error named after them.
func (t *table) parse(i info, blob []byte) error {
	entries, err := split(layoutOf(t.family), blob)
	if err != nil {
		return err
	}
	// A jump goes to the first rule of a chain, behind the entry that names it.
	names := map[int]string{}
	for _, e := range entries {
		if name, ok := e.chainName(); ok {
			names[e.start+len(e.raw)] = name
		}
	}
	var c *chain
	underflow := -1
	for _, e := range entries {
		for at := range hooks {
			if at >= hookInput && at <= 3 && int(i.hooks[at]) == e.start {
				c, underflow = builtin(at), int(i.underflow[at])
				t.chains[c.name] = c
			}
		}
		if name, ok := e.chainName(); ok {
			c = &chain{name: name}
			t.chains[name] = c
			continue
		}
		if c == nil {
			return errBlob
		}
		if c.base && underflow == e.start {
			c.policy = e.verdict(names).kind
			continue
		}
		c.rules = append(c.rules, rule{number: len(c.rules) + 1, eval: e.program(names)})
	}
	return nil
}

func split(l layout, blob []byte) ([]entry, error) {
	var out []entry
	for at := 0; at < len(blob); {
		rest := blob[at:]
		if len(rest) < l.size {
			return nil, errBlob
		}
		target := int(binary.NativeEndian.Uint16(rest[l.offsets:]))
		next := int(binary.NativeEndian.Uint16(rest[l.offsets+2:]))
		if target < l.size || target+xtHead+4 > next || next > len(rest) {
			return nil, errBlob
		}
		out = append(out, entry{layout: l, raw: rest[:next], target: target, start: at})
		at += next
	}
	return out, nil
}

// extension returns name, revision and content of the extension at an offset.
func (e entry) extension(at int) (name string, revision byte, content []byte, size int, err error) {
	if at+xtHead > len(e.raw) {
		return "", 0, nil, 0, errBlob
	}
	size = int(binary.NativeEndian.Uint16(e.raw[at:]))
	if size < xtHead || at+size > len(e.raw) {
		return "", 0, nil, 0, errBlob
	}
	return string(trimNUL(e.raw[at+2 : at+31])), e.raw[at+31], e.raw[at+xtHead : at+size], size, nil
}

func (e entry) chainName() (string, bool) {
	name, _, content, _, err := e.extension(e.target)
	if err != nil || name != "ERROR" {
		return "", false
	}
	return string(trimNUL(content)), true
}

// verdict returns the verdict of the target. A standard target has no name.
func (e entry) verdict(names map[int]string) verdict {
	name, _, content, _, err := e.extension(e.target)
	if err != nil || name != "" || len(content) < 4 {
		_, v, _ := target(&expr.Target{Name: name})
		return v
	}
	switch v := int32(binary.NativeEndian.Uint32(content)); {
	case v == -1:
		return verdict{kind: drop}
	case v == -5: // XT_RETURN
		return verdict{kind: back}
	case v < 0:
		return verdict{kind: accept} // or a queue: another program decides
	case int(v) == e.start+len(e.raw):
		return verdict{} // a rule without a target goes on with the next one
	case e.raw[e.flags]&e.gotoFlag != 0:
		return verdict{kind: leap, chain: names[int(v)]}
	default:
		return verdict{kind: jump, chain: names[int(v)]}
	}
}

func (e entry) program(names map[int]string) func(packet) (answer, verdict) {
	v := e.verdict(names)
	return func(p packet) (answer, verdict) {
		matched := e.header(p)
		for at := e.size; at < e.target && matched != no; {
			name, revision, content, size, err := e.extension(at)
			if err != nil {
				return maybe, v
			}
			m := &expr.Match{Name: name, Rev: uint32(revision)}
			if m.Info, err = xt.Unmarshal(name, e.family, m.Rev, content); err != nil {
				m.Info = nil // not understood
			}
			matched = min(matched, match(m, p))
			at += size
		}
		return matched, v
	}
}

// header compares addresses, devices and protocol.
func (e entry) header(p packet) answer {
	inv, n := e.raw[e.invert], e.addr
	field := func(at int, value []byte, maskAt int, inverted bool) answer {
		for i, b := range value {
			if b&e.raw[maskAt+i] != e.raw[at+i]&e.raw[maskAt+i] {
				return sure(inverted)
			}
		}
		return sure(!inverted)
	}
	source := field(0, p.src.AsSlice(), 2*n, inv&invSrc != 0)
	if p.anySrc && slices.ContainsFunc(e.raw[2*n:3*n], func(b byte) bool { return b != 0 }) {
		source = maybe
	}
	in := field(4*n, p.iif.padded(), 4*n+32, inv&invIn != 0)
	if p.iif.unknown && slices.ContainsFunc(e.raw[4*n+32:4*n+48], func(b byte) bool { return b != 0 }) {
		in = maybe
	}
	out := min(
		source, in,
		field(n, p.dst.AsSlice(), 3*n, inv&invDst != 0),
		field(4*n+16, p.oif.padded(), 4*n+48, inv&invOut != 0),
	)
	proto := e.raw[e.proto]
	if proto != 0 && (e.protoFlag == 0 || e.raw[e.flags]&e.protoFlag != 0) {
		out = min(out, unless(sure(proto == p.l4()), inv&invProto != 0))
	}
	return out
}
