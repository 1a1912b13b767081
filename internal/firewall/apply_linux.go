// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Comment marks the rules of Apply, for people and for Remove.
const Comment = "fairlead: pods"

// ErrLegacy reports a table that Apply cannot change. The kernel replaces such a table
// only as a whole, which would overwrite the changes of other programs.
var ErrLegacy = errors.New("tables of legacy iptables are not changed")

// Apply makes the chains of the findings accept packets from and to pods, by rules in
// front of all others. Its earlier rules stay. It changes a chain as a whole or not at
// all. To learn whether that was enough, Load and Check again.
//
// The rules let every host that may forward through this node reach pods, as those of
// flannel and kube-router do. Therefore only a flag should turn Apply on.
func Apply(ns int, c Config, findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.table == nil {
			continue
		}
		if err := apply(ns, c, f); err != nil {
			errs = append(errs, fmt.Errorf("accept pods in chain %s of table %s: %w", f.entry, f.Table, err))
		}
	}
	return errors.Join(errs...)
}

func apply(ns int, c Config, f Finding) error {
	if f.table.legacy {
		return ErrLegacy
	}
	l, err := dial(ns)
	if err != nil {
		return err
	}
	defer func() { _ = l.socket.Close() }()
	t := f.table.kernel()
	chain := &nftables.Chain{Name: f.entry, Table: t}
	rules, err := l.rules(t) // at present
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	for _, r := range rules[f.entry] {
		if r.comment == Comment { // perhaps for other ranges
			if err := l.conn.DelRule(&nftables.Rule{Table: t, Chain: chain, Handle: r.handle}); err != nil {
				return err
			}
		}
	}
	if len(f.ports) > 0 {
		for _, p := range c.ports() {
			l.conn.InsertRule(&nftables.Rule{
				Table: t, Chain: chain, Exprs: acceptPort(p, f.table.xtables()),
				UserData: userdata.Append(nil, userdata.TypeComment, append([]byte(Comment), 0)),
			})
		}
	}
	for _, p := range c.allPods() {
		if f.pods && (f.table.family == "inet" || (f.table.family == "ip") == p.Addr().Is4()) {
			for _, source := range []bool{true, false} {
				l.conn.InsertRule(&nftables.Rule{
					Table: t, Chain: chain, Exprs: acceptRule(p, source, f.table.family == "inet"),
					UserData: userdata.Append(nil, userdata.TypeComment, append([]byte(Comment), 0)),
				})
			}
		}
	}
	return l.conn.Flush()
}

// kernel returns the table in the library's terms.
func (t *table) kernel() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: map[string]nftables.TableFamily{
		"ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6, "inet": nftables.TableFamilyINet,
	}[t.family]}
}

// acceptRule is "ip saddr PREFIX counter accept", in the form that iptables-nft
// writes and reads, too.
func acceptRule(p netip.Prefix, source, both bool) []expr.Any {
	p = p.Masked()
	offset := map[[2]bool]uint32{{true, true}: 12, {true, false}: 16, {false, true}: 8, {false, false}: 24}[[2]bool{p.Addr().Is4(), source}]
	addr := p.Addr().AsSlice()
	n := uint32(len(addr))
	var out []expr.Any
	if both {
		proto := byte(unix.NFPROTO_IPV6)
		if p.Addr().Is4() {
			proto = unix.NFPROTO_IPV4
		}
		out = append(out, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Register: 1, Data: []byte{proto}})
	}
	return append(out,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()), Xor: make([]byte, n)},
		&expr.Cmp{Register: 1, Data: addr},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	)
}

// acceptPort is "udp dport PORT counter accept". In tables of iptables it uses the
// match that iptables of any release reads.
func acceptPort(p Port, xtables bool) []expr.Any {
	out := []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Register: 1, Data: []byte{p.Proto}}}
	all, one := [2]uint16{0, math.MaxUint16}, [2]uint16{p.Number, p.Number}
	switch {
	case xtables && p.Proto == protoTCP:
		out = append(out, &expr.Match{Name: "tcp", Info: &xt.Tcp{SrcPorts: all, DstPorts: one}})
	case xtables && p.Proto == protoUDP:
		out = append(out, &expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: all, DstPorts: one}})
	default:
		out = append(out,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Register: 1, Data: binary.BigEndian.AppendUint16(nil, p.Number)})
	}
	return append(out, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
}

// Remove deletes the rules of Apply from all tables and returns their number.
func Remove(ns int) (int, error) {
	return each(ns, func(l *loader, r *nftables.Rule) error { return l.conn.DelRule(r) })
}

// Count returns how many rules Remove would delete.
func Count(ns int) (int, error) { return each(ns, func(*loader, *nftables.Rule) error { return nil }) }

// each calls f for each rule of Apply and counts them. It carries out the operations
// that f queues in one transaction.
func each(ns int, f func(*loader, *nftables.Rule) error) (int, error) {
	l, err := dial(ns)
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.socket.Close() }()
	tables, err := l.conn.ListTables()
	if err != nil {
		return 0, fmt.Errorf("list tables: %w", err)
	}
	n := 0
	for _, t := range tables {
		rules, err := l.rules(t)
		if err != nil {
			return 0, fmt.Errorf("list rules of table %s: %w", t.Name, err)
		}
		for name, list := range rules {
			for _, r := range list {
				if r.comment != Comment {
					continue
				}
				if err := f(l, &nftables.Rule{Table: t, Chain: &nftables.Chain{Name: name}, Handle: r.handle}); err != nil {
					return 0, fmt.Errorf("remove rule of table %s: %w", t.Name, err)
				}
				n++
			}
		}
	}
	if n == 0 {
		return 0, nil
	}
	if err := l.conn.Flush(); err != nil {
		return 0, fmt.Errorf("remove rules: %w", err)
	}
	return n, nil
}
