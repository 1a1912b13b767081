// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
)

// kernelRule is a rule as the kernel returns it.
type kernelRule struct {
	handle  uint64
	comment string
	exprs   []any // of package expr, *opaque or neutral
}

// rules dumps the rules of a table by chain. nftables.Conn.GetRules (v0.3.0) leaves out
// expressions that it does not know, so a rule with one would seem to match everything.
func (l *loader) rules(t *nftables.Table) (map[string][]kernelRule, error) {
	out := map[string][]kernelRule{}
	var m nl.Messages
	nft.Table{Family: uint8(t.Family), Name: t.Name}.Get(&m, unix.NFT_MSG_GETRULE)
	var bad error
	err := l.socket.Dump(&m, func(reply nl.Reply) {
		name, list := nft.ReadRule(reply)
		r := kernelRule{handle: nft.ReadHandle(reply), comment: comment(nft.ReadUserdata(reply))}
		for _, b := range nl.Attrs(list) {
			e, err := decodeExpr(byte(t.Family), bytes.Clone(b)) // b is valid until the next read
			if err != nil && bad == nil {
				bad = fmt.Errorf("read rule of chain %s: %w", name, err)
			}
			r.exprs = append(r.exprs, e)
		}
		out[name] = append(out[name], r)
	})
	if err != nil {
		return nil, err
	}
	return out, bad
}

func decodeExpr(family byte, b []byte) (any, error) {
	name := nl.String(nl.Attr(b, unix.NFTA_EXPR_NAME))
	data := nl.Attr(b, unix.NFTA_EXPR_DATA)
	e := newExpr(name)
	if e == nil {
		if isNeutral(name) {
			return neutral{}, nil
		}
		if v, ok := newDiverter(name, data); ok {
			return v, nil
		}
		return &opaque{name}, nil
	}
	if err := expr.Unmarshal(family, data, e); err != nil {
		return &opaque{name}, nil //nolint:nilerr // A newer kernel may have written it.
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

// newExpr returns a value to decode an expression into, or nil for an expression that
// is not evaluated.
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
	case "counter", "last", "log", "flow_offload", "dup", "secmark":
		return true
	}
	return false
}

// comment returns the text that nft shows behind "comment".
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
