// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/internal/nstest"
)

// nft adds an nf_tables message for the family inet.
func nft(m *nl.Messages, kind uint16, flags int) {
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0)
}

func addTable(m *nl.Messages, name string) {
	nft(m, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	m.String(unix.NFTA_TABLE_NAME, name)
}

func deleteTable(m *nl.Messages, name string) {
	nft(m, unix.NFT_MSG_DELTABLE, 0)
	m.String(unix.NFTA_TABLE_NAME, name)
}

// addJump adds a chain with one rule that jumps to another chain.
func addJump(m *nl.Messages, table, from, to string) {
	nft(m, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	m.String(unix.NFTA_RULE_TABLE, table)
	m.String(unix.NFTA_RULE_CHAIN, from)
	m.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			m.String(unix.NFTA_EXPR_NAME, "immediate")
			m.Nest(unix.NFTA_EXPR_DATA, func() {
				m.BE32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
				m.Nest(unix.NFTA_IMMEDIATE_DATA, func() {
					m.Nest(unix.NFTA_DATA_VERDICT, func() {
						m.BE32(unix.NFTA_VERDICT_CODE, 0xfffffffd) // NFT_JUMP
						m.String(unix.NFTA_VERDICT_CHAIN, to)
					})
				})
			})
		})
	})
}

func addChain(m *nl.Messages, table, name string) {
	nft(m, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	m.String(unix.NFTA_CHAIN_TABLE, table)
	m.String(unix.NFTA_CHAIN_NAME, name)
}

// TestTransact expects every refused operation by its index, none of the
// transaction carried out, and a socket that goes on.
func TestTransact(t *testing.T) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: nstest.New(t), ReceiveBuffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	loop := func(m *nl.Messages) {
		addTable(m, "t")
		addChain(m, "t", "a")
		addChain(m, "t", "b")
		addJump(m, "t", "a", "b")
		addJump(m, "t", "b", "a")
		// Only what a base chain leads to is checked for loops.
		nft(m, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
		m.String(unix.NFTA_CHAIN_TABLE, "t")
		m.String(unix.NFTA_CHAIN_NAME, "base")
		m.String(unix.NFTA_CHAIN_TYPE, "filter")
		m.Nest(unix.NFTA_CHAIN_HOOK, func() {
			m.BE32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_PRE_ROUTING)
			m.BE32(unix.NFTA_HOOK_PRIORITY, 0)
		})
		addJump(m, "t", "base", "a")
		addChain(m, "t", "c")
	}
	for _, tt := range []struct {
		name string
		add  func(m *nl.Messages)
		want []string
	}{
		{"nothing", func(*nl.Messages) {}, nil},
		{"all is taken", func(m *nl.Messages) { addTable(m, "t"); deleteTable(m, "t") }, nil},
		{"the first", func(m *nl.Messages) { deleteTable(m, "x"); addTable(m, "t") }, []string{"0 no such file or directory"}},
		{"the last", func(m *nl.Messages) { addTable(m, "t"); deleteTable(m, "x") }, []string{"1 no such file or directory"}},
		{"two", func(m *nl.Messages) {
			deleteTable(m, "x")
			addTable(m, "t")
			deleteTable(m, "y")
			addTable(m, "u")
		}, []string{"0 no such file or directory", "2 no such file or directory"}},
		{"more than one read returns", func(m *nl.Messages) {
			for range 3000 {
				deleteTable(m, "x")
			}
		}, many(3000)},
		{"a loop", loop, []string{"6 too many links"}},
		{"the whole", func(m *nl.Messages) { m.BeginTransaction(250); addTable(m, "t") }, []string{"-1 invalid argument"}},
		{"nothing is left", func(m *nl.Messages) { deleteTable(m, "t") }, []string{"0 no such file or directory"}},
	} {
		var m nl.Messages
		m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
		tt.add(&m)
		var got []string
		err := s.Transact(&m, func(i int, err error) {
			var errno unix.Errno
			if !errors.As(err, &errno) {
				t.Fatalf("%s: operation %d: %v is no errno", tt.name, i, err)
			}
			got = append(got, fmt.Sprint(i, errno))
		})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: refused (-want +got):\n%s", tt.name, diff)
		}
	}
}

func many(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i, unix.ENOENT))
	}
	return out
}

// TestTransactTooLarge sends nothing of a transaction with an attribute that does
// not fit.
func TestTransactTooLarge(t *testing.T) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: nstest.New(t), SendBuffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	addTable(&m, "t")
	m.Attr(6 /* NFTA_TABLE_USERDATA */, bytes.Repeat([]byte{1}, 1<<16)...)
	err = s.Transact(&m, func(i int, err error) { t.Errorf("refused %d: %v", i, err) })
	if !errors.Is(err, nl.ErrTooLarge) {
		t.Errorf("Transact = %v, want ErrTooLarge", err)
	}
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	deleteTable(&m, "t")
	refused := 0
	if err := s.Transact(&m, func(int, error) { refused++ }); err != nil || refused != 1 {
		t.Errorf("the table exists: %v, %d refusals", err, refused)
	}
}

// TestTransactNoRoom has more refusals than the socket has room for. They still
// say that the transaction failed, and which operation was the first.
func TestTransactNoRoom(t *testing.T) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: nstest.New(t), ReceiveBuffer: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 2 {
		var m nl.Messages
		m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
		for range 3000 {
			deleteTable(&m, "x")
		}
		var got []int
		if err := s.Transact(&m, func(i int, _ error) { got = append(got, i) }); err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 || len(got) == 3000 || got[0] != 0 {
			t.Errorf("%d refusals, the first of %v; want some, the first of 0", len(got), got[:min(len(got), 1)])
		}
	}
}
