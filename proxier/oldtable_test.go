// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// A file of testdata/tables is the table "inet fairlead" as an older version left it in
// the kernel: messages of the kernel that together make it again, each with type, length
// and body, compressed. TestPacketUpgrade writes one if it gets the older program.

// savedMessage is one of these messages.
type savedMessage struct {
	kind uint16
	body []byte
}

// ourTable is the table as nf_tables names it.
var ourTable = nft.Table{Family: unix.NFPROTO_INET, Name: ruleset.TableName}

func dialTable(t testing.TB, ns *netns.NS) *nl.Socket {
	t.Helper()
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns, SendBuffer: 4 << 20, ReceiveBuffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// saveTable reads the table out of the kernel.
func saveTable(t *testing.T, ns *netns.NS) []savedMessage {
	t.Helper()
	s := dialTable(t, ns)
	var out []savedMessage
	var sets []string
	dump := func(kind uint16, set string, each func(nl.Reply)) {
		var m nl.Messages
		if set == "" {
			ourTable.Get(&m, kind)
		} else {
			ourTable.GetElements(&m, set)
		}
		if err := s.Dump(&m, func(r nl.Reply) {
			if nft.TableOf(r) == ourTable {
				each(r)
			}
		}); err != nil && !errors.Is(err, nl.ErrInterrupted) {
			t.Fatal(err)
		}
	}
	keep := func(r nl.Reply) { out = append(out, savedMessage{nft.Kind(r), slices.Clone(r.Body)}) }
	dump(unix.NFT_MSG_GETTABLE, "", keep)
	dump(unix.NFT_MSG_GETSET, "", func(r nl.Reply) {
		keep(r)
		sets = append(sets, nft.ReadSet(r).Name)
	})
	dump(unix.NFT_MSG_GETCHAIN, "", keep)
	dump(unix.NFT_MSG_GETRULE, "", keep)
	for _, set := range sets {
		dump(0, set, func(r nl.Reply) {
			if nl.Attr(r.Body[4:], unix.NFTA_SET_ELEM_LIST_ELEMENTS) != nil {
				keep(r)
			}
		})
	}
	return out
}

// loadTable makes the saved table in another namespace, in several transactions.
func loadTable(t *testing.T, ns *netns.NS, saved []savedMessage) {
	t.Helper()
	s := dialTable(t, ns)
	var m nl.Messages
	commit := func() {
		if err := s.Transact(&m, func(i int, err error) { t.Fatalf("message %d of the saved table: %v", i, err) }); err != nil {
			t.Fatal(err)
		}
		m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	}
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	for i, msg := range saved {
		// What the kernel gives objects when it makes them.
		assigned := map[uint16][]uint16{
			unix.NFT_MSG_NEWTABLE: {unix.NFTA_TABLE_USE, unix.NFTA_TABLE_FLAGS, nftaTableHandle},
			unix.NFT_MSG_NEWSET:   {nftaSetHandle, nftaSetType, nftaSetCount},
			unix.NFT_MSG_NEWCHAIN: {unix.NFTA_CHAIN_HANDLE, unix.NFTA_CHAIN_USE, unix.NFTA_CHAIN_COUNTERS},
			unix.NFT_MSG_NEWRULE:  {unix.NFTA_RULE_HANDLE, unix.NFTA_RULE_POSITION},
		}[msg.kind]
		flags := unix.NLM_F_CREATE
		if msg.kind == unix.NFT_MSG_NEWRULE {
			flags |= unix.NLM_F_APPEND
		}
		ourTable.Begin(&m, msg.kind, flags)
		for kind, v := range nl.Attrs(msg.body[4:]) {
			if !slices.Contains(assigned, kind) {
				m.Attr(kind, v...)
			}
		}
		if msg.kind == unix.NFT_MSG_NEWSET {
			m.BE32(unix.NFTA_SET_ID, uint32(i))
		}
		if m.Size() > 100<<10 {
			commit()
		}
	}
	commit()
}

// Attributes that x/sys lacks.
const (
	nftaTableHandle = 4
	nftaSetHandle   = 16
	nftaSetType     = 19
	nftaSetCount    = 20
)

func writeSaved(t *testing.T, file string, saved []savedMessage) {
	t.Helper()
	f, err := os.Create(file)
	check(t, err)
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	check(t, err)
	for _, msg := range saved {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, msg.kind), uint32(len(msg.body)))
		_, err := z.Write(append(head, msg.body...))
		check(t, err)
	}
	check(t, errors.Join(z.Close(), f.Close()))
}

func readSaved(t *testing.T, file string) []savedMessage {
	t.Helper()
	f, err := os.Open(file)
	check(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(bufio.NewReader(f))
	check(t, err)
	var out []savedMessage
	for {
		var head [6]byte
		if _, err := io.ReadFull(z, head[:]); errors.Is(err, io.EOF) {
			return out
		}
		check(t, err)
		msg := savedMessage{binary.BigEndian.Uint16(head[:]), make([]byte, binary.BigEndian.Uint32(head[2:]))}
		_, err := io.ReadFull(z, msg.body)
		check(t, err)
		out = append(out, msg)
	}
}
