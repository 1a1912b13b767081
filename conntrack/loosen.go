// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nl"
)

// Attributes and flags of a TCP connection (nfnetlink_conntrack.h, nf_conntrack_tcp.h).
const (
	msgNew = unix.NFNL_SUBSYS_CTNETLINK << 8 // IPCTNL_MSG_CT_NEW, which changes a flow that is there

	attrZone = 18 // CTA_ZONE

	attrFlagsOrig, attrFlagsReply = 4, 5 // struct nf_ct_tcp_flags: flags, and a mask of those to set

	tcpLiberal = 0x08 // IP_CT_TCP_FLAG_BE_LIBERAL
)

// looseBatch is the size of the messages that loosen sends at once, in bytes.
const looseBatch = 32 << 10

// loosen makes the kernel accept packets of all TCP connections that there are whose sequence
// numbers it does not expect, as it does by itself for a connection of which it has not seen
// the beginning.
//
// Without any rule that needs it, the kernel does not track connections. When such rules
// come, it forgets how far each connection was, and learns that from the next packet in each
// direction (nf_ct_tcp_fixup). If a client's packet comes first and is lost later on its way, and the
// next one from the server is a keep-alive probe, which has the last sequence number again, the
// kernel believes that the server has sent one byte less than it has. All later packets of the
// client acknowledge that byte, are invalid for ever, and are dropped (ADR 0016).
func (t *table) loosen() error {
	// The dump keeps the other socket busy.
	out, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: t.ns, Calls: t.calls})
	if err != nil {
		return fmt.Errorf("open conntrack socket: %w", err)
	}
	for _, v6 := range []bool{false, true} {
		err = errors.Join(err, t.loosenFamily(out, query{proto: inet.TCP, v6: v6}))
	}
	return errors.Join(err, out.Close())
}

func (t *table) loosenFamily(out *nl.Socket, q query) error {
	var m nl.Messages
	var failed error
	write := func() {
		err := out.Write(&m, func(_ int, err error) {
			if !errors.Is(err, unix.ENOENT) { // it ended meanwhile
				failed = err
			}
		})
		if err != nil {
			failed = err
		}
		m.Reset()
	}
	err := nl.Repeat("flows", func() error {
		m.Reset()
		var request nl.Messages
		q.encode(&request)
		return t.socket.Dump(&request, func(r nl.Reply) {
			if failed == nil && encodeLoose(&m, r.Body, q.family()) && m.Size() >= looseBatch {
				write()
			}
		})
	})
	if failed == nil && err == nil {
		write()
	}
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("accept unexpected sequence numbers of established connections: %w", err)
	}
	return nil
}

// encodeLoose adds the message that makes the kernel accept all packets of the flow in body.
// It reports false if the kernel does so already.
func encodeLoose(m *nl.Messages, body []byte, family byte) bool {
	var orig, zone, info []byte
	for kind, v := range nl.Attrs(body[min(4, len(body)):]) {
		switch kind {
		case attrTupleOrig:
			orig = v
		case attrZone:
			zone = v
		case attrProtoInfo:
			info = nl.Attr(v, attrInfoTCP)
		}
	}
	if orig == nil || info == nil || isLoose(info, attrFlagsOrig) && isLoose(info, attrFlagsReply) {
		return false
	}
	m.Begin(msgNew, 0, family, unix.NFNETLINK_V0, 0, 0)
	m.Attr(attrTupleOrig|unix.NLA_F_NESTED, orig...)
	if zone != nil {
		m.Attr(attrZone, zone...)
	}
	m.Nest(attrProtoInfo, func() {
		m.Nest(attrInfoTCP, func() {
			m.Attr(attrFlagsOrig, tcpLiberal, tcpLiberal)
			m.Attr(attrFlagsReply, tcpLiberal, tcpLiberal)
		})
	})
	return true
}

func isLoose(info []byte, kind uint16) bool {
	flags := nl.Attr(info, kind)
	return len(flags) > 0 && flags[0]&tcpLiberal != 0
}
