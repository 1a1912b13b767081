// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/nat/ruleset"
)

// isRaw reports whether google/nftables cannot send one of the chain's rules.
func isRaw(c *ruleset.Chain) bool {
	for _, r := range c.Rules {
		for _, e := range r.Exprs {
			switch e.(type) {
			case *ruleset.CtOriginal, *ruleset.MasqueradePorts:
				return true
			}
		}
	}
	return false
}

// isRawBatch reports whether google/nftables cannot send the batch.
func isRawBatch(b *ruleset.Batch) bool {
	for i := range b.Adds {
		if b.Adds[i].Counter {
			return true
		}
	}
	return false
}

// rawBatch returns what Table.queue hands to google/nftables.
func rawBatch(b *ruleset.Batch) ([]netlink.Message, error) {
	var msgs []netlink.Message
	for i := range b.Chains {
		if !isRaw(&b.Chains[i]) { // those are sent before
			chain, err := rawChain(&b.Chains[i])
			if err != nil {
				return nil, err
			}
			msgs = append(msgs, chain...)
		}
	}
	for _, f := range b.Fills {
		var els []nftables.SetElement
		for _, p := range f.Ranges {
			els = append(els, encodeElement(&ruleset.Element{Set: f.Set, Client: p})...)
		}
		msgs = append(msgs, message(unix.NFT_MSG_DELSETELEM, 0, rawElements(f.Set, nil)))
		if len(els) > 0 {
			msgs = append(msgs, message(unix.NFT_MSG_NEWSETELEM, netlink.Create, rawElements(f.Set, els)))
		}
	}
	send := func(typ uint16, flags netlink.HeaderFlags) func(ruleset.Set, []nftables.SetElement) error {
		return func(set ruleset.Set, els []nftables.SetElement) error {
			body := rawElements(set, els)
			if body == nil {
				return fmt.Errorf("%d elements do not fit in a message", len(els))
			}
			msgs = append(msgs, message(typ, flags, body))
			return nil
		}
	}
	if err := inRuns(b.Dels, send(unix.NFT_MSG_DELSETELEM, 0)); err != nil {
		return nil, err
	}
	if err := inRuns(b.Adds, send(unix.NFT_MSG_NEWSETELEM, netlink.Create)); err != nil {
		return nil, err
	}
	for _, name := range b.Drops {
		chain := attrs(str(unix.NFTA_CHAIN_TABLE, ruleset.TableName), str(unix.NFTA_CHAIN_NAME, name))
		msgs = append(msgs, message(unix.NFT_MSG_DELCHAIN, 0, chain))
	}
	return msgs, nil
}

// Commit carries out b. On error the kernel has taken nothing of it, but for
// declarations without effect; errors wrap ErrDrift or ErrPermission where
// these explain them.
func (t *Table) Commit(ctx context.Context, b *ruleset.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := t.commit(b)
	if err == nil {
		return nil
	}
	// After an error the number of answers still to come is not known.
	if again := t.redial(); again != nil {
		err = errors.Join(err, again)
	}
	return fmt.Errorf("commit %d operations: %w", b.Len(), classify(err))
}

func (t *Table) commit(b *ruleset.Batch) error {
	var prelude []netlink.Message
	if b.Declare {
		prelude = declaration(b.Recreate)
	}
	for i := range b.Chains {
		if isRaw(&b.Chains[i]) {
			msgs, err := rawChain(&b.Chains[i])
			if err != nil {
				return err
			}
			prelude = append(prelude, msgs...)
		}
	}
	if len(prelude) > 0 {
		if err := t.send(prelude); err != nil {
			return fmt.Errorf("declare: %w", err)
		}
	}
	if isRawBatch(b) {
		msgs, err := rawBatch(b)
		if err != nil {
			return err
		}
		return t.send(msgs)
	}
	if err := t.queue(b); err != nil {
		return err
	}
	return t.conn.Flush()
}

// queue hands the batch to google/nftables, in the documented order.
func (t *Table) queue(b *ruleset.Batch) error {
	for i := range b.Chains {
		if !isRaw(&b.Chains[i]) {
			t.queueChain(&b.Chains[i])
		}
	}
	for _, f := range b.Fills {
		set := t.set(f.Set)
		t.conn.FlushSet(set)
		var els []nftables.SetElement
		for _, p := range f.Ranges {
			els = append(els, encodeElement(&ruleset.Element{Set: f.Set, Client: p})...)
		}
		if len(els) > 0 {
			if err := t.conn.SetAddElements(set, els); err != nil {
				return fmt.Errorf("encode set %s: %w", f.Set, err)
			}
		}
	}
	dels := func(s ruleset.Set, els []nftables.SetElement) error { return t.conn.SetDeleteElements(t.set(s), els) }
	if err := inRuns(b.Dels, dels); err != nil {
		return err
	}
	adds := func(s ruleset.Set, els []nftables.SetElement) error { return t.conn.SetAddElements(t.set(s), els) }
	if err := inRuns(b.Adds, adds); err != nil {
		return err
	}
	for _, name := range b.Drops {
		t.conn.DelChain(&nftables.Chain{Table: t.table, Name: name})
	}
	return nil
}

func (t *Table) queueChain(c *ruleset.Chain) {
	nc := &nftables.Chain{Table: t.table, Name: c.Name}
	if c.Hook != nil {
		accept := nftables.ChainPolicyAccept
		nc.Type, nc.Hooknum, nc.Priority, nc.Policy = c.Hook.Type, &c.Hook.Number, &c.Hook.Priority, &accept
	}
	t.conn.AddChain(nc)
	t.conn.FlushChain(nc)
	for _, r := range c.Rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: nc, Exprs: r.Exprs})
	}
}

// perMessage bounds the elements of one message, whose list attribute holds at
// most 64 KiB.
const perMessage = 200

// inRuns sends runs of elements of one set in one message.
func inRuns(es []ruleset.Element, send func(ruleset.Set, []nftables.SetElement) error) error {
	for len(es) > 0 {
		set := es[0].Set
		n := slices.IndexFunc(es, func(e ruleset.Element) bool { return e.Set != set })
		if n < 0 {
			n = len(es)
		}
		n = min(n, perMessage)
		els := make([]nftables.SetElement, 0, n)
		for i := range es[:n] {
			els = append(els, encodeElement(&es[i])...)
		}
		if err := send(set, els); err != nil {
			return fmt.Errorf("encode elements of %s: %w", set, err)
		}
		es = es[n:]
	}
	return nil
}

// send sends messages of our own as one transaction.
func (t *Table) send(msgs []netlink.Message) error {
	mark := func(typ netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: typ, Flags: netlink.Request},
			Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	all := append([]netlink.Message{mark(unix.NFNL_MSG_BATCH_BEGIN)}, msgs...)
	if _, err := t.raw.SendMessages(append(all, mark(unix.NFNL_MSG_BATCH_END))); err != nil {
		return err
	}
	for range msgs {
		if _, err := t.raw.Receive(); err != nil {
			return err
		}
	}
	return nil
}

// rawChain returns the messages that make, empty and fill a chain with rules
// that google/nftables cannot send.
func rawChain(c *ruleset.Chain) ([]netlink.Message, error) {
	id := []netlink.Attribute{str(unix.NFTA_CHAIN_TABLE, ruleset.TableName), str(unix.NFTA_CHAIN_NAME, c.Name)}
	if c.Hook != nil {
		hook := attrs(num(unix.NFTA_HOOK_HOOKNUM, uint32(c.Hook.Number)), num(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority)))
		id = append(id, netlink.Attribute{Type: unix.NFTA_CHAIN_HOOK | unix.NLA_F_NESTED, Data: hook},
			num(unix.NFTA_CHAIN_POLICY, 1), str(unix.NFTA_CHAIN_TYPE, string(c.Hook.Type)))
	}
	in := []netlink.Attribute{str(unix.NFTA_RULE_TABLE, ruleset.TableName), str(unix.NFTA_RULE_CHAIN, c.Name)}
	msgs := []netlink.Message{
		message(unix.NFT_MSG_NEWCHAIN, netlink.Create, attrs(id...)),
		message(unix.NFT_MSG_DELRULE, 0, attrs(in...)),
	}
	for _, r := range c.Rules {
		list, err := rawExprs(r.Exprs)
		if err != nil {
			return nil, fmt.Errorf("encode rule %q: %w", r.Text, err)
		}
		body := append(in[:2:2], netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS | unix.NLA_F_NESTED, Data: list})
		msgs = append(msgs, message(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, attrs(body...)))
	}
	return msgs, nil
}

func rawExprs(es []expr.Any) ([]byte, error) {
	var list []netlink.Attribute
	for _, e := range es {
		data, err := expr.Marshal(unix.NFPROTO_INET, e)
		switch e := e.(type) {
		case *ruleset.CtOriginal:
			data, err = encodeCt(e), nil
		case *ruleset.MasqueradePorts:
			data, err = encodeMasquerade(e), nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED, Data: data})
	}
	return netlink.MarshalAttributes(list)
}

func encodeMasquerade(m *ruleset.MasqueradePorts) []byte {
	const flags = unix.NF_NAT_RANGE_PROTO_SPECIFIED | unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY
	data := attrs(num(unix.NFTA_MASQ_FLAGS, flags),
		num(unix.NFTA_MASQ_REG_PROTO_MIN, m.RegProtoMin), num(unix.NFTA_MASQ_REG_PROTO_MAX, m.RegProtoMax))
	return attrs(str(unix.NFTA_EXPR_NAME, "masq"), netlink.Attribute{Type: unix.NFTA_EXPR_DATA | unix.NLA_F_NESTED, Data: data})
}

func encodeCt(o *ruleset.CtOriginal) []byte {
	data := attrs(num(unix.NFTA_CT_KEY, uint32(o.Key)), num(unix.NFTA_CT_DREG, o.Register),
		netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{0}})
	return attrs(str(unix.NFTA_EXPR_NAME, "ct"), netlink.Attribute{Type: unix.NFTA_EXPR_DATA | unix.NLA_F_NESTED, Data: data})
}
