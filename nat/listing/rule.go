// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// Line is one rule.
type Line struct {
	Text     string        // as nft prints it
	Families []inet.Family // that it matches, nil for any
	Sets     []string
	Chain    string // that it goes to
}

// Read reads a rule. The text of a rule with an expression, or a use of one, that no
// rule of fairlead has is a comment.
func Read(exprs []expr.Any) Line {
	d := decoder{familyAt: -1, protoAt: -1}
	ok := true
	for _, e := range exprs {
		ok = ok && d.read(e)
		d.uses(e)
	}
	words := slices.DeleteFunc(d.out, func(s string) bool { return s == "" })
	if d.line.Text = strings.Join(words, " "); !ok || len(words) == 0 {
		d.line.Text = fmt.Sprintf("# not fairlead's: %d expressions", len(exprs))
		d.line.Families = nil
	}
	return d.line
}

// uses notes what a rule refers to.
func (d *decoder) uses(e expr.Any) {
	var set string
	switch e := e.(type) {
	case *expr.Lookup:
		set = e.SetName
	case *expr.Dynset:
		set = e.SetName
	case *expr.Verdict:
		d.line.Chain = e.Chain
		return
	default:
		return
	}
	d.line.Sets = append(d.line.Sets, set)
	if s, ok := ruleset.SetNamed(set); ok {
		d.restrict(s.Family)
	}
}

func (d *decoder) restrict(f inet.Family) {
	if !slices.Contains(d.line.Families, f) {
		d.line.Families = append(d.line.Families, f)
	}
}

// decoder reads the expressions of one rule in order. It keeps what each register
// holds as text, and writes a statement where an expression decides or acts.
type decoder struct {
	registers[value]

	line Line
	out  []string

	// nft adds a match of the family in front of a match of the network header, and
	// one of the protocol in front of a match of the transport header. It leaves
	// out such a match where the header follows. The positions in out are -1 for
	// none.
	family   inet.Family
	familyAt int
	proto    string
	protoAt  int
}

func (d *decoder) emit(format string, args ...any) bool {
	d.out = append(d.out, fmt.Sprintf(format, args...))
	return true
}

// read reads one expression.
func (d *decoder) read(e expr.Any) bool {
	switch e := e.(type) {
	case *expr.Meta:
		return d.meta(e)
	case *expr.Payload:
		return d.payload(e)
	case *expr.Ct:
		return d.ct(e)
	case *nft.CtOriginal:
		return d.ctOriginal(e)
	case *expr.Fib:
		return d.fib(e)
	case *expr.Numgen:
		return e.Type == unix.NFT_NG_RANDOM && e.Offset == 0 &&
			d.load(e.Register, value{text: fmt.Sprintf("numgen random mod %d", e.Modulus), size: 4})
	case *expr.Immediate:
		return d.load(e.Register, value{kind: constant, size: len(e.Data), data: e.Data})
	case *expr.Bitwise:
		v := d.held(e.SourceRegister)
		if v.text == "" || v.mask != nil || int(e.Len) != v.size {
			return false
		}
		v.mask, v.xor = e.Mask, e.Xor
		return d.load(e.DestRegister, v)
	case *expr.Cmp:
		return d.cmp(e)
	case *expr.Lookup:
		return d.lookup(e)
	}
	return d.act(e)
}

// act reads an expression that does something to the packet.
func (d *decoder) act(e expr.Any) bool {
	switch e := e.(type) {
	case *expr.Verdict:
		return d.verdict(e)
	case *expr.NAT:
		return d.nat(e)
	case *expr.Masq:
		if e.ToPorts || e.Random || e.Persistent {
			return false
		}
		return d.emit("masquerade%s", flagText(e.FullyRandom))
	case *nft.MasqueradePorts:
		low, high := d.held(e.RegProtoMin), d.held(e.RegProtoMax)
		if low.kind != constant || high.kind != constant || len(low.data) != 2 || len(high.data) != 2 {
			return false
		}
		return d.emit("masquerade to :%d-%d%s", port(low.data), port(high.data), flagText(e.FullyRandom))
	case *expr.Reject:
		if e.Type != unix.NFT_REJECT_ICMPX_UNREACH || e.Code != unix.NFT_REJECT_ICMPX_PORT_UNREACH {
			return false
		}
		return d.emit("reject")
	case *expr.Notrack:
		return d.emit("notrack")
	case *expr.Counter:
		return d.emit("counter packets %d bytes %d", e.Packets, e.Bytes)
	case *expr.Dynset:
		return d.dynset(e)
	}
	return false
}

func flagText(fullyRandom bool) string {
	if fullyRandom {
		return " fully-random"
	}
	return ""
}

func (d *decoder) verdict(e *expr.Verdict) bool {
	text := ruleset.VerdictText(e)
	return text != "" && d.emit("%s", text)
}

// lookup reads a match, a verdict map or a map.
func (d *decoder) lookup(e *expr.Lookup) bool {
	set, ok := ruleset.SetNamed(e.SetName)
	if !ok {
		return false
	}
	key, ok := d.concat(e.SourceRegister, ruleset.KeyLen(set.Spec().Key, set.Family))
	switch {
	case !ok:
		return false
	case !e.IsDestRegSet && e.Invert:
		return d.emit("%s != @%s", key, set)
	case !e.IsDestRegSet:
		return d.emit("%s @%s", key, set)
	case e.Invert:
		return false
	case e.DestRegister == 0:
		return d.emit("%s vmap @%s", key, set)
	}
	return d.load(e.DestRegister, value{
		text: fmt.Sprintf("%s map @%s", key, set), size: ruleset.KeyLen(set.Spec().Data, set.Family), kind: mapped,
	})
}

// nat reads a DNAT to an address and a port from one map.
func (d *decoder) nat(e *expr.NAT) bool {
	v := d.held(e.RegAddrMin)
	if e.Type != expr.NATTypeDestNAT || v.kind != mapped || e.Random || e.FullyRandom || e.Persistent || e.Prefix {
		return false
	}
	word := "ip"
	if e.Family == unix.NFPROTO_IPV6 {
		word = "ip6"
	}
	return d.emit("dnat %s to %s", word, v.text)
}

// dynset reads the update of an affinity map.
func (d *decoder) dynset(e *expr.Dynset) bool {
	set, ok := ruleset.SetNamed(e.SetName)
	if !ok || e.Operation != unix.NFT_DYNSET_OP_UPDATE || e.Invert || len(e.Exprs) > 0 || set.Spec().Data == nil {
		return false
	}
	key, isKey := d.concat(e.SrcRegKey, ruleset.KeyLen(set.Spec().Key, set.Family))
	data, isData := d.concat(e.SrcRegData, ruleset.KeyLen(set.Spec().Data, set.Family))
	return isKey && isData && d.emit("update @%s { %s timeout %s : %s }", set, key, ruleset.TimeText(e.Timeout), data)
}
