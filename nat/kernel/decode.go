// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// decode reads an element that the kernel reported. It returns false for what
// encode would never have written.
func decode(set ruleset.Set, el *nftables.SetElement) (ruleset.Element, bool) {
	row := set.Spec()
	if len(el.Key) != ruleset.KeyLen(row.Key, set.Family) {
		return ruleset.Element{}, false
	}
	e := ruleset.Element{Set: set, Comment: el.Comment, Counter: el.Counter != nil && set.IsSlots()}
	if set.IsNode() {
		e.Key.IP = set.Family.Unspecified()
	}
	if !decodeKey(&e, row.Key, el.Key, el.KeyEnd) {
		return ruleset.Element{}, false
	}
	switch {
	case row.Verdict:
		// google/nftables (v0.3.0) hands the verdict over undecoded.
		v := attributes(el.Val)
		e.Verdict = ruleset.VerdictDrop
		if int32(be32(v[unix.NFTA_VERDICT_CODE])) == int32(expr.VerdictGoto) {
			e.Verdict = text(v[unix.NFTA_VERDICT_CHAIN])
		}
	case row.Data != nil:
		if len(el.Val) != ruleset.KeyLen(row.Data, set.Family) {
			return ruleset.Element{}, false
		}
		n := ruleset.AddrLen(set.Family)
		addr, _ := netip.AddrFromSlice(el.Val[:n])
		e.Data = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(el.Val[n:]))
	}
	return e, true
}

func decodeKey(e *ruleset.Element, cs []ruleset.Part, key, end []byte) bool {
	for _, c := range cs {
		n := c.Width(e.Set.Family)
		part := key[:n]
		key = key[n:]
		var partEnd []byte
		if len(end) >= n {
			partEnd, end = end[:n], end[n:]
		}
		switch c {
		case ruleset.PartVIP:
			e.Key.IP, _ = netip.AddrFromSlice(part)
		case ruleset.PartProto:
			e.Key.Proto = inet.Proto(part[0])
		case ruleset.PartPort:
			e.Key.Port = binary.BigEndian.Uint16(part)
		case ruleset.PartSlot:
			e.Slot = binary.NativeEndian.Uint32(part)
		case ruleset.PartClient, ruleset.PartBackend:
			first, _ := netip.AddrFromSlice(part)
			last, ok := netip.AddrFromSlice(partEnd)
			if !ok {
				last = first
			}
			was := e.Client
			if e.Client, ok = inet.Spanned(first, last); !ok || was.IsValid() && was != e.Client {
				return false
			}
		}
	}
	return true
}

// attributes reads the attributes of one level, without their flags; nil for
// what is none.
func attributes(b []byte) map[uint16][]byte {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return nil
	}
	out := make(map[uint16][]byte, len(list))
	for _, a := range list {
		out[a.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Data
	}
	return out
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

func be32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// foreign stands for an expression that no rule of ours has.
type foreign struct {
	expr.Any
	name string
}

func (f *foreign) String() string { return f.name }

// parseExprs reads the expressions of a rule. Those that we do not use come
// back as foreign, so that the rule differs from every one of ours.
func parseExprs(b []byte) ([]expr.Any, error) {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return nil, fmt.Errorf("read rule: %w", err)
	}
	var out []expr.Any
	for _, item := range list {
		got := attributes(item.Data)
		e, err := parseExpr(text(got[unix.NFTA_EXPR_NAME]), got[unix.NFTA_EXPR_DATA])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func parseExpr(name string, data []byte) (expr.Any, error) {
	var e expr.Any
	switch name {
	case "bitwise":
		e = &expr.Bitwise{}
	case "byteorder":
		return parseByteorder(attributes(data)), nil
	case "cmp":
		e = &expr.Cmp{}
	case "ct":
		return parseCt(attributes(data)), nil
	case "dynset":
		e = &expr.Dynset{}
	case "fib":
		e = &expr.Fib{}
	case "immediate":
		e = &expr.Verdict{}
		if be32(attributes(data)[unix.NFTA_IMMEDIATE_DREG]) != unix.NFT_REG_VERDICT {
			e = &expr.Immediate{}
		}
	case "lookup":
		e = &expr.Lookup{}
	case "masq":
		e = &expr.Masq{}
	case "meta":
		e = &expr.Meta{}
	case "nat":
		e = &expr.NAT{}
	case "notrack":
		return &expr.Notrack{}, nil
	case "numgen":
		e = &expr.Numgen{}
	case "payload":
		e = &expr.Payload{}
	case "reject":
		e = &expr.Reject{}
	default:
		return &foreign{name: name}, nil
	}
	if err := expr.Unmarshal(unix.NFPROTO_INET, data, e); err != nil {
		return nil, fmt.Errorf("read expression %s: %w", name, err)
	}
	if m, ok := e.(*expr.Masq); ok && m.ToPorts {
		return &ruleset.MasqueradePorts{Masq: *m}, nil
	}
	return e, nil
}

// parseByteorder reads what google/nftables (v0.3.0) cannot.
func parseByteorder(got map[uint16][]byte) expr.Any {
	return &expr.Byteorder{
		SourceRegister: be32(got[unix.NFTA_BYTEORDER_SREG]),
		DestRegister:   be32(got[unix.NFTA_BYTEORDER_DREG]),
		Op:             expr.ByteorderOp(be32(got[unix.NFTA_BYTEORDER_OP])),
		Len:            be32(got[unix.NFTA_BYTEORDER_LEN]),
		Size:           be32(got[unix.NFTA_BYTEORDER_SIZE]),
	}
}

// parseCt keeps the direction, which google/nftables (v0.3.0) cannot read.
func parseCt(got map[uint16][]byte) expr.Any {
	ct := expr.Ct{Key: expr.CtKey(be32(got[unix.NFTA_CT_KEY])), Register: be32(got[unix.NFTA_CT_DREG])}
	switch dir, ok := got[unix.NFTA_CT_DIRECTION]; {
	case !ok:
		return &ct
	case len(dir) == 1 && dir[0] == 0:
		return &ruleset.CtOriginal{Ct: ct}
	}
	return &foreign{name: "ct reply"}
}

// readIntervals reads back what encodeInterval wrote, or nft; nil where an
// interval is no prefix.
func readIntervals(els []nftables.SetElement) []netip.Prefix {
	slices.SortFunc(els, func(a, b nftables.SetElement) int {
		if c := slices.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd {
			return -1 // one range ends where the next begins
		}
		return 1
	})
	var out []netip.Prefix
	for i := range els {
		if els[i].IntervalEnd {
			continue
		}
		first, _ := netip.AddrFromSlice(els[i].Key)
		last := highest(first)
		if i+1 < len(els) && els[i+1].IntervalEnd {
			end, _ := netip.AddrFromSlice(els[i+1].Key)
			last = end.Prev()
		}
		p, ok := inet.Spanned(first, last)
		if !ok {
			return nil
		}
		out = append(out, p)
	}
	return out
}

func highest(ip netip.Addr) netip.Addr { return inet.LastAddr(netip.PrefixFrom(ip, 0).Masked()) }
