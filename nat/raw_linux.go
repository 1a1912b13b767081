// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// google/nftables (v0.3.0) reads the counter of an element and does not write
// it. As a transaction is one message to one socket, a batch with such elements
// is sent by messages of our own altogether.

// isRaw reports whether google/nftables cannot send the batch.
func (b *Batch) isRaw() bool {
	for i := range b.adds {
		if b.adds[i].counter {
			return true
		}
	}
	return false
}

// rawBatch returns what Table.queue hands to google/nftables.
func rawBatch(b *Batch) ([]netlink.Message, error) {
	var msgs []netlink.Message
	for i := range b.chains {
		if !b.chains[i].isRaw() { // those are sent before
			chain, err := rawChain(&b.chains[i])
			if err != nil {
				return nil, err
			}
			msgs = append(msgs, chain...)
		}
	}
	for _, f := range b.fills {
		var els []nftables.SetElement
		for _, p := range f.ranges {
			els = append(els, (&element{set: f.set, client: p}).encode()...)
		}
		msgs = append(msgs, message(unix.NFT_MSG_DELSETELEM, 0, rawElements(f.set, nil)))
		if len(els) > 0 {
			msgs = append(msgs, message(unix.NFT_MSG_NEWSETELEM, netlink.Create, rawElements(f.set, els)))
		}
	}
	send := func(typ uint16, flags netlink.HeaderFlags) func(setID, []nftables.SetElement) error {
		return func(set setID, els []nftables.SetElement) error {
			body := rawElements(set, els)
			if body == nil {
				return fmt.Errorf("%d elements do not fit in a message", len(els))
			}
			msgs = append(msgs, message(typ, flags, body))
			return nil
		}
	}
	if err := inRuns(b.dels, send(unix.NFT_MSG_DELSETELEM, 0)); err != nil {
		return nil, err
	}
	if err := inRuns(b.adds, send(unix.NFT_MSG_NEWSETELEM, netlink.Create)); err != nil {
		return nil, err
	}
	for _, name := range b.drops {
		chain := attrs(str(unix.NFTA_CHAIN_TABLE, TableName), str(unix.NFTA_CHAIN_NAME, name))
		msgs = append(msgs, message(unix.NFT_MSG_DELCHAIN, 0, chain))
	}
	return msgs, nil
}

// rawElements names elements of a set; none stand for all.
func rawElements(set setID, els []nftables.SetElement) []byte {
	as := []netlink.Attribute{str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName), str(unix.NFTA_SET_ELEM_LIST_SET, set.String())}
	if len(els) > 0 {
		var list []netlink.Attribute
		for i := range els {
			list = append(list, nested(unix.NFTA_LIST_ELEM, rawElement(&els[i])...))
		}
		as = append(as, nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
	}
	return attrs(as...)
}

func rawElement(el *nftables.SetElement) []netlink.Attribute {
	value := func(b []byte) netlink.Attribute {
		return netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: b}
	}
	var as []netlink.Attribute
	if el.IntervalEnd {
		as = append(as, num(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END))
	}
	as = append(as, nested(unix.NFTA_SET_ELEM_KEY, value(el.Key)))
	if len(el.KeyEnd) > 0 {
		as = append(as, nested(nftables.NFTA_SET_ELEM_KEY_END, value(el.KeyEnd)))
	}
	if v := el.VerdictData; v != nil {
		verdict := []netlink.Attribute{num(unix.NFTA_VERDICT_CODE, uint32(v.Kind))}
		if v.Chain != "" {
			verdict = append(verdict, str(unix.NFTA_VERDICT_CHAIN, v.Chain))
		}
		as = append(as, nested(unix.NFTA_SET_ELEM_DATA, nested(unix.NFTA_DATA_VERDICT, verdict...)))
	} else if len(el.Val) > 0 {
		as = append(as, nested(unix.NFTA_SET_ELEM_DATA, value(el.Val)))
	}
	if el.Comment != "" {
		comment := userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, el.Comment)
		as = append(as, netlink.Attribute{Type: unix.NFTA_SET_ELEM_USERDATA, Data: comment})
	}
	if el.Counter != nil {
		as = append(as, nested(unix.NFTA_SET_ELEM_EXPR, str(unix.NFTA_EXPR_NAME, "counter"), nested(unix.NFTA_EXPR_DATA)))
	}
	return as
}

func nested(typ uint16, as ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: typ | unix.NLA_F_NESTED, Data: attrs(as...)}
}

// counterOf is what SetElement says of an element that counts.
func counterOf(e *element) *expr.Counter {
	if !e.counter {
		return nil
	}
	return &expr.Counter{}
}
