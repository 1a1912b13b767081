// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// table is the kernel's table of flows in one network namespace.
type table struct {
	// deleter deletes flows.
	deleter *deleter
	// socket looks up and dumps flows. ti-mo/conntrack (v0.6.0) cannot filter by tuple
	// and keeps a whole dump in memory.
	socket *nl.Socket
	ns     *netns.NS
	calls  nl.Calls // nil outside of tests
}

func openTable(ns *netns.NS, calls nl.Calls) (*table, error) {
	d, err := openDeleter(ns, calls)
	if err != nil {
		return nil, err
	}
	socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns, Calls: calls})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open conntrack socket: %w", err), d.close())
	}
	return &table{d, socket, ns, calls}, nil
}

func (t *table) close() error { return errors.Join(t.deleter.close(), t.socket.Close()) }

// Attributes and flags of ctnetlink that x/sys lacks (nfnetlink_conntrack.h).
const (
	msgGet = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrStatus     = 3
	attrProtoInfo  = 4
	attrTimeout    = 7
	attrFilter     = 25 // CTA_FILTER, kernel 5.8; older ones ignore it
	attrStatusMask = 26 // CTA_STATUS_MASK, kernel 5.15; older ones ignore it

	attrTupleIP    = 1
	attrTupleProto = 2

	attrIP4Src, attrIP4Dst, attrIP6Src, attrIP6Dst = 1, 2, 3, 4

	attrProtoNum, attrProtoSrc, attrProtoDst = 1, 2, 3

	attrInfoTCP, attrInfoSCTP = 1, 3
	attrState                 = 1 // CTA_PROTOINFO_TCP_STATE and CTA_PROTOINFO_SCTP_STATE

	attrFilterOrig = 1

	filterIPDst, filterProtoNum, filterDstPort = 1 << 1, 1 << 3, 1 << 5

	statusSeenReply, statusAssured = 1 << 1, 1 << 2 // nf_conntrack_common.h
)

// States of a connection that is not established, whose client may still be sent
// to another endpoint (nf_conntrack_tcp.h, nf_conntrack_sctp.h). A refused
// connection is closed, and a new attempt from the same source port continues it.
const (
	tcpNone, tcpSynSent, tcpClose, tcpSynSent2 = 0, 1, 8, 9
	sctpNone, sctpClosed, sctpCookieWait       = 0, 1, 2
)

// query selects flows.
type query struct {
	proto inet.Proto
	v6    bool
	only  *inet.Addr // those that dialled a frontend; nil selects all
	// unassured leaves out established connections.
	unassured bool
}

// dump calls f for every flow that q selects. An older kernel may report others,
// too. A flow can be reported twice.
func (t *table) dump(q query, f func(entry)) error {
	return nl.Repeat("flows", func() error {
		var m nl.Messages
		q.encode(&m)
		return t.socket.Dump(&m, func(r nl.Reply) {
			if flow, ok := decode(r.Body); ok {
				f(flow)
			}
		})
	})
}

func (q *query) family() byte {
	if q.v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (q *query) encode(m *nl.Messages) {
	flags := uint32(filterProtoNum)
	m.Begin(msgGet, 0, q.family(), unix.NFNETLINK_V0, 0, 0)
	m.Nest(attrTupleOrig, func() {
		// Not for IPv6: the kernel compares those addresses in the wrong byte order
		// and leaves out the right ones (seen on 6.18).
		if q.only != nil && !q.only.IsNodePort() && !q.v6 {
			flags |= filterIPDst
			m.Nest(attrTupleIP, func() { m.Attr(attrIP4Dst, q.only.IP.AsSlice()...) })
		}
		m.Nest(attrTupleProto, func() {
			m.U8(attrProtoNum, uint8(q.proto))
			if q.only != nil {
				flags |= filterDstPort
				m.BE16(attrProtoDst, q.only.Port)
			}
		})
	})
	m.Nest(attrFilter, func() { m.U32(attrFilterOrig, flags) })
	if q.unassured {
		m.BE32(attrStatus, 0)
		m.BE32(attrStatusMask, statusAssured)
	}
}

// decode reads the parts of a flow that entry has. It allocates nothing, because it
// runs for every flow of the table.
func decode(body []byte) (entry, bool) {
	var orig, reply tuple
	var status, timeout uint32
	var info []byte
	for kind, v := range nl.Attrs(body[min(4, len(body)):]) {
		switch kind {
		case attrTupleOrig:
			orig = decodeTuple(v)
		case attrTupleReply:
			reply = decodeTuple(v)
		case attrStatus:
			status = nl.BE32(v)
		case attrProtoInfo:
			info = v
		case attrTimeout:
			timeout = nl.BE32(v)
		}
	}
	e := entry{Flow: Flow{
		Client:   netip.AddrPortFrom(orig.src, orig.sport),
		Dialled:  inet.Addr{IP: orig.dst, Port: orig.dport, Proto: orig.proto},
		Answerer: netip.AddrPortFrom(reply.src, reply.sport),
		Opening:  opening(orig.proto, status, info),
	}}
	e.unanswered = status&statusSeenReply == 0
	e.kept = reply.dst == orig.src && reply.dport == orig.sport
	e.left = time.Duration(timeout) * time.Second
	return e, orig.src.IsValid() && orig.dst.IsValid() && reply.src.IsValid()
}

// opening decides Flow.Opening.
func opening(proto inet.Proto, status uint32, info []byte) bool {
	switch proto {
	case inet.TCP:
		return status&statusSeenReply == 0 || openingTCP(nl.U8(nl.Attr(nl.Attr(info, attrInfoTCP), attrState)))
	case inet.SCTP:
		return status&statusSeenReply == 0 || openingSCTP(nl.U8(nl.Attr(nl.Attr(info, attrInfoSCTP), attrState)))
	}
	return false
}

func openingTCP(state uint8) bool {
	return state == tcpNone || state == tcpSynSent || state == tcpSynSent2 || state == tcpClose
}

func openingSCTP(state uint8) bool {
	return state == sctpNone || state == sctpClosed || state == sctpCookieWait
}

type tuple struct {
	src, dst     netip.Addr
	sport, dport uint16
	proto        inet.Proto
}

func decodeTuple(b []byte) tuple {
	var t tuple
	for kind, v := range nl.Attrs(nl.Attr(b, attrTupleIP)) {
		switch kind {
		case attrIP4Src, attrIP6Src:
			t.src, _ = netip.AddrFromSlice(v)
		case attrIP4Dst, attrIP6Dst:
			t.dst, _ = netip.AddrFromSlice(v)
		}
	}
	for kind, v := range nl.Attrs(nl.Attr(b, attrTupleProto)) {
		switch kind {
		case attrProtoNum:
			t.proto = inet.Proto(nl.U8(v))
		case attrProtoSrc:
			t.sport = nl.BE16(v)
		case attrProtoDst:
			t.dport = nl.BE16(v)
		}
	}
	return t
}

// get returns the flow that a packet from f.Client to f.Dialled belongs to, in
// either direction; false without one. ti-mo/conntrack (v0.6.0) cannot do this: its
// Get waits without a deadline for an answer that was read already (seen on 6.18).
func (t *table) get(f Flow) (found entry, ok bool, err error) {
	family, src, dst := byte(unix.AF_INET), uint16(attrIP4Src), uint16(attrIP4Dst)
	if f.Dialled.IP.Is6() {
		family, src, dst = unix.AF_INET6, attrIP6Src, attrIP6Dst
	}
	var m nl.Messages
	m.Begin(msgGet, 0, family, unix.NFNETLINK_V0, 0, 0)
	m.Nest(attrTupleOrig, func() {
		m.Nest(attrTupleIP, func() {
			m.Attr(src, f.Client.Addr().AsSlice()...)
			m.Attr(dst, f.Dialled.IP.AsSlice()...)
		})
		m.Nest(attrTupleProto, func() {
			m.U8(attrProtoNum, uint8(f.Dialled.Proto))
			m.BE16(attrProtoSrc, f.Client.Port())
			m.BE16(attrProtoDst, f.Dialled.Port)
		})
	})
	err = t.socket.Get(&m, func(r nl.Reply) { found, ok = decode(r.Body) })
	if errors.Is(err, unix.ENOENT) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, fmt.Errorf("look up flow %s -> %s: %w", f.Client, f.Dialled, err)
	}
	return found, ok, nil
}

// delete removes a flow. A flow that ended meanwhile is no error.
func (t *table) delete(f Flow) error {
	flow := conntrack.NewFlow(uint8(f.Dialled.Proto), 0, f.Client.Addr(), f.Dialled.IP, f.Client.Port(), f.Dialled.Port, 0, 0)
	err := nl.Enter(t.calls)
	if err == nil {
		err = t.deleter.delete(flow)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete flow %s -> %s: %w", f.Client, f.Dialled, err)
	}
	return nil
}
