// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernelRule is a rule as the kernel tells it.
type kernelRule struct {
	handle  uint64
	comment string
	exprs   []any // of package expr, *opaque or neutral
}

// rules dumps the rules of a table by chain. It is not nftables.Conn.GetRules
// because that (v0.3.0) leaves out expressions it does not know: a rule with one
// would seem to match everything.
func (l *loader) rules(t *nftables.Table) (map[string][]kernelRule, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(t.Name), 0)}})
	if err != nil {
		return nil, err
	}
	msgs, err := l.raw.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return nil, err
	}
	out := map[string][]kernelRule{}
	for _, m := range msgs {
		name, r, err := decodeRule(byte(t.Family), m.Data)
		if err != nil {
			return nil, fmt.Errorf("read rule of chain %s: %w", name, err)
		}
		out[name] = append(out[name], r)
	}
	return out, nil
}

func decodeRule(family byte, data []byte) (name string, r kernelRule, err error) {
	if len(data) < 4 {
		return "", r, unix.EBADMSG
	}
	ad, err := netlink.NewAttributeDecoder(data[4:]) // behind struct nfgenmsg
	if err != nil {
		return "", r, err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			name = ad.String()
		case unix.NFTA_RULE_HANDLE:
			r.handle = ad.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.comment = comment(ad.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			ad.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					list.Do(func(b []byte) error {
						e, err := decodeExpr(family, b)
						r.exprs = append(r.exprs, e)
						return err
					})
				}
				return nil
			})
		}
	}
	return name, r, ad.Err()
}

func decodeExpr(family byte, b []byte) (any, error) {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return nil, err
	}
	var name string
	var data []byte
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
		case unix.NFTA_EXPR_DATA:
			data = ad.Bytes()
		}
	}
	if err := ad.Err(); err != nil {
		return nil, err
	}
	e := newExpr(name)
	if e == nil {
		if isNeutral(name) {
			return neutral{}, nil
		}
		return &opaque{name}, nil
	}
	if err := expr.Unmarshal(family, data, e); err != nil {
		return &opaque{name}, nil //nolint:nilerr // a newer kernel's, perhaps: not understood
	}
	// A verdict is an immediate value for the register of verdicts.
	if i, ok := e.(*expr.Immediate); ok && i.Register == unix.NFT_REG_VERDICT {
		v := &expr.Verdict{}
		if err := expr.Unmarshal(family, data, v); err != nil {
			return nil, err
		}
		return v, nil
	}
	if o, ok := e.(*expr.Objref); ok {
		if o.Type == unix.NFT_OBJECT_COUNTER || o.Type == unix.NFT_OBJECT_CT_HELPER {
			return neutral{}, nil
		}
		return &opaque{name}, nil // a quota or a limit
	}
	return e, nil
}

// newExpr returns what to decode into, nil for what is not evaluated.
func newExpr(name string) expr.Any {
	switch name {
	case "meta":
		return &expr.Meta{}
	case "ct":
		return &expr.Ct{}
	case "payload":
		return &expr.Payload{}
	case "fib":
		return &expr.Fib{}
	case "immediate":
		return &expr.Immediate{}
	case "bitwise":
		return &expr.Bitwise{}
	case "byteorder":
		return &expr.Byteorder{}
	case "cmp":
		return &expr.Cmp{}
	case "range":
		return &expr.Range{}
	case "lookup":
		return &expr.Lookup{}
	case "match":
		return &expr.Match{}
	case "target":
		return &expr.Target{}
	case "reject":
		return &expr.Reject{}
	case "objref":
		return &expr.Objref{}
	}
	return nil
}

func isNeutral(name string) bool {
	switch name {
	case "counter", "last", "log", "notrack", "flow_offload", "dup", "secmark":
		return true
	}
	return false
}

// comment returns what nft shows behind "comment".
func comment(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value := data[2 : 2+int(data[1])]
		if userdata.Type(data[0]) == userdata.TypeComment {
			return string(trimNUL(value))
		}
		data = data[2+len(value):]
	}
	return ""
}

func trimNUL(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}
