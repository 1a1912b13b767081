// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// Table is the table in the kernel. Watch and BackendCounters may run beside the other methods;
// these are not safe for concurrent use.
type Table struct {
	ns    int
	table *nftables.Table
	conn  *nftables.Conn // for everything that google/nftables can say
	raw   *netlink.Conn  // for the rest, and for dumps
	// ports are the netlink ports of both sockets: whoever else sends a
	// message that concerns the table is somebody else.
	ports [2]atomic.Uint32
}

// Open opens the table in a network namespace, nil for that of the process. It
// makes nothing yet. Needs CAP_NET_ADMIN in the user namespace that owns ns.
func Open(ns *netns.NS) (*Table, error) {
	t := &Table{table: &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}}
	if ns != nil {
		t.ns = ns.Fd()
	}
	return t, t.dial()
}

// bufferSize is what a batch and its acknowledgements may need in the socket.
const bufferSize = 4 << 20

func (t *Table) dial() error {
	sized := func(c *netlink.Conn) error {
		// Best effort: a batch fits in the default size, too.
		return errors.Join(ignorePermission(c.SetWriteBuffer(bufferSize)), ignorePermission(c.SetReadBuffer(bufferSize)), prime(c))
	}
	raw, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: t.ns})
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	if err := sized(raw); err != nil {
		return errors.Join(fmt.Errorf("size netlink socket: %w", err), raw.Close())
	}
	var port uint32
	conn, err := nftables.New(nftables.WithNetNSFd(t.ns), nftables.AsLasting(),
		nftables.WithSockOptions(func(c *netlink.Conn) error {
			port = c.PID()
			return sized(c)
		}))
	if err != nil {
		return errors.Join(fmt.Errorf("open nftables socket: %w", err), raw.Close())
	}
	t.raw, t.conn = raw, conn
	t.ports[0].Store(raw.PID())
	t.ports[1].Store(port)
	return nil
}

// prime makes the kernel answer dumps on c in pieces of 32 KiB. It takes the size
// from the largest buffer that was ever read with (netlink_recvmsg), and for
// each piece it walks the set from the start: with the library's small buffers
// a dump of 100,000 elements takes seconds.
func prime(c *netlink.Conn) error {
	ask := message(unix.NFT_MSG_GETGEN, 0, nil)
	ask.Header.Flags = netlink.Request
	if _, err := c.Send(ask); err != nil {
		return fmt.Errorf("ask for generation: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		_, _, failed = unix.Recvfrom(int(fd), make([]byte, 64<<10), 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

func ignorePermission(err error) error {
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// Close closes the sockets and leaves the table as it is.
func (t *Table) Close() error {
	return errors.Join(t.conn.CloseLasting(), t.raw.Close())
}

// Commit carries out b. On error the kernel has taken nothing of it, but for
// declarations without effect; errors wrap ErrDrift or ErrPermission where
// these explain them.
func (t *Table) Commit(ctx context.Context, b *Batch) error {
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

func (t *Table) redial() error {
	err := t.Close()
	return errors.Join(err, t.dial())
}

func (t *Table) commit(b *Batch) error {
	var prelude []netlink.Message
	if b.declare {
		prelude = declaration(b.recreate)
	}
	for i := range b.chains {
		if b.chains[i].isRaw() {
			msgs, err := rawChain(&b.chains[i])
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
	if b.isRaw() {
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
func (t *Table) queue(b *Batch) error {
	for i := range b.chains {
		if !b.chains[i].isRaw() {
			t.queueChain(&b.chains[i])
		}
	}
	for _, f := range b.fills {
		set := t.set(f.set)
		t.conn.FlushSet(set)
		var els []nftables.SetElement
		for _, p := range f.ranges {
			els = append(els, (&element{set: f.set, client: p}).encode()...)
		}
		if len(els) > 0 {
			if err := t.conn.SetAddElements(set, els); err != nil {
				return fmt.Errorf("encode set %s: %w", f.set, err)
			}
		}
	}
	dels := func(s setID, els []nftables.SetElement) error { return t.conn.SetDeleteElements(t.set(s), els) }
	if err := inRuns(b.dels, dels); err != nil {
		return err
	}
	adds := func(s setID, els []nftables.SetElement) error { return t.conn.SetAddElements(t.set(s), els) }
	if err := inRuns(b.adds, adds); err != nil {
		return err
	}
	for _, name := range b.drops {
		t.conn.DelChain(&nftables.Chain{Table: t.table, Name: name})
	}
	return nil
}

func (t *Table) queueChain(c *chain) {
	nc := &nftables.Chain{Table: t.table, Name: c.name}
	if c.base != nil {
		accept := nftables.ChainPolicyAccept
		nc.Type, nc.Hooknum, nc.Priority, nc.Policy = c.base.typ, &c.base.hook, &c.base.priority, &accept
	}
	t.conn.AddChain(nc)
	t.conn.FlushChain(nc)
	for _, r := range c.rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: nc, Exprs: r.exprs})
	}
}

// perMessage bounds the elements of one message, whose list attribute holds at
// most 64 KiB.
const perMessage = 200

// inRuns sends runs of elements of one set in one message.
func inRuns(es []element, send func(setID, []nftables.SetElement) error) error {
	for len(es) > 0 {
		set := es[0].set
		n := slices.IndexFunc(es, func(e element) bool { return e.set != set })
		if n < 0 {
			n = len(es)
		}
		n = min(n, perMessage)
		els := make([]nftables.SetElement, 0, n)
		for i := range es[:n] {
			els = append(els, es[i].encode()...)
		}
		if err := send(set, els); err != nil {
			return fmt.Errorf("encode elements of %s: %w", set, err)
		}
		es = es[n:]
	}
	return nil
}

func (t *Table) set(s setID) *nftables.Set {
	return &nftables.Set{Table: t.table, Name: s.String(), IsMap: s.row().isMap()}
}

// Delete removes the table with everything in it. A table that does not exist
// is not an error.
func (t *Table) Delete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	table := attrs(str(unix.NFTA_TABLE_NAME, TableName))
	err := t.send([]netlink.Message{
		message(unix.NFT_MSG_NEWTABLE, netlink.Create, table),
		message(unix.NFT_MSG_DELTABLE, 0, table),
	})
	if err != nil {
		return fmt.Errorf("delete table: %w", classify(err))
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
func rawChain(c *chain) ([]netlink.Message, error) {
	id := []netlink.Attribute{str(unix.NFTA_CHAIN_TABLE, TableName), str(unix.NFTA_CHAIN_NAME, c.name)}
	if c.base != nil {
		hook := attrs(num(unix.NFTA_HOOK_HOOKNUM, uint32(c.base.hook)), num(unix.NFTA_HOOK_PRIORITY, uint32(c.base.priority)))
		id = append(id, netlink.Attribute{Type: unix.NFTA_CHAIN_HOOK | unix.NLA_F_NESTED, Data: hook},
			num(unix.NFTA_CHAIN_POLICY, 1), str(unix.NFTA_CHAIN_TYPE, string(c.base.typ)))
	}
	in := []netlink.Attribute{str(unix.NFTA_RULE_TABLE, TableName), str(unix.NFTA_RULE_CHAIN, c.name)}
	msgs := []netlink.Message{
		message(unix.NFT_MSG_NEWCHAIN, netlink.Create, attrs(id...)),
		message(unix.NFT_MSG_DELRULE, 0, attrs(in...)),
	}
	for _, r := range c.rules {
		list, err := rawExprs(r.exprs)
		if err != nil {
			return nil, fmt.Errorf("encode rule %q: %w", r.text, err)
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
		if o, ok := e.(*original); ok {
			data, err = o.encode(), nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED, Data: data})
	}
	return netlink.MarshalAttributes(list)
}

func (o *original) encode() []byte {
	data := attrs(num(unix.NFTA_CT_KEY, uint32(o.Key)), num(unix.NFTA_CT_DREG, o.Register),
		netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{0}})
	return attrs(str(unix.NFTA_EXPR_NAME, "ct"), netlink.Attribute{Type: unix.NFTA_EXPR_DATA | unix.NLA_F_NESTED, Data: data})
}
