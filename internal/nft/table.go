// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Table names a table of one family, such as NFPROTO_INET.
type Table struct {
	Family uint8
	Name   string
}

// Begin starts a message of type kind, NFT_MSG_..., about the table's family.
func (t Table) Begin(m *nl.Messages, kind uint16, flags int) {
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, t.Family, unix.NFNETLINK_V0, 0, 0)
}

// in starts a message whose first attribute is the name of the table. That has
// number 1 in every message.
func (t Table) in(m *nl.Messages, kind uint16, flags int) {
	t.Begin(m, kind, flags)
	m.String(unix.NFTA_TABLE_NAME, t.Name)
}

// genmsgLen is the length of struct nfgenmsg, the fixed part of each message.
const genmsgLen = 4

// body returns the attributes of a message.
func body(r nl.Reply) []byte {
	if len(r.Body) < genmsgLen {
		return nil
	}
	return r.Body[genmsgLen:]
}

// Generation16 returns the lower half of the number of the transaction before which a
// message of a dump was made (nfgenmsg.res_id).
func Generation16(r nl.Reply) uint16 {
	if len(r.Body) < genmsgLen {
		return 0
	}
	return nl.BE16(r.Body[2:])
}
