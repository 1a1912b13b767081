// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/nat/ruleset"
)

// Watch calls poke whenever somebody else has changed the table, or may have:
// the kernel drops notifications that are not read in time. It blocks until ctx
// ends. poke must not block.
func (t *Table) Watch(ctx context.Context, poke func()) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: t.ns, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := ignorePermission(conn.SetReadBuffer(bufferSize)); err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		msgs, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			poke()
		case err != nil:
			return fmt.Errorf("watch nftables: %w", err)
		case t.concerns(msgs):
			poke()
		}
	}
}

// concerns reports whether one of the notifications is about our table and from
// somebody else.
func (t *Table) concerns(msgs []netlink.Message) bool {
	for _, m := range msgs {
		port := m.Header.PID
		if port == t.ports[0].Load() || port == t.ports[1].Load() {
			continue
		}
		typ := uint16(m.Header.Type) & 0xff
		if typ == unix.NFT_MSG_NEWGEN || len(m.Data) < 4 || m.Data[0] != unix.NFPROTO_INET {
			continue
		}
		// The name of the table is attribute 1 of every message that has one.
		got := attributes(m.Data[4:])
		if text(got[1]) == ruleset.TableName && !isLearnt(typ, got) {
			return true
		}
	}
	return false
}
