// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// table is the kernel's table of flows in one network namespace.
type table struct {
	conn *conntrack.Conn // to delete
	raw  *netlink.Conn   // to ask: ti-mo/conntrack (v0.6.0) cannot filter by tuple
}

func openTable(ns int) (*table, error) {
	conn, err := conntrack.Dial(&netlink.Config{NetNS: ns})
	if err != nil {
		return nil, fmt.Errorf("open conntrack socket: %w", err)
	}
	raw, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink socket: %w", err), conn.Close())
	}
	return &table{conn: conn, raw: raw}, nil
}

func (t *table) close() error { return errors.Join(t.conn.Close(), t.raw.Close()) }

// Attributes and flags of ctnetlink that x/sys lacks (nfnetlink_conntrack.h).
const (
	msgGet = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrFilter     = 25 // CTA_FILTER, kernel 5.8; older ones ignore it

	attrTupleIP    = 1
	attrTupleProto = 2

	attrIP4Src, attrIP4Dst, attrIP6Src, attrIP6Dst = 1, 2, 3, 4

	attrProtoNum, attrProtoSrc, attrProtoDst = 1, 2, 3

	attrFilterOrig = 1

	filterIPDst, filterProtoNum, filterDstPort = 1 << 1, 1 << 3, 1 << 5
)

// dump calls f for every UDP flow of a family, or only for those to a frontend.
// The kernel leaves the others out; one too old to do so leaves them in.
func (t *table) dump(v6 bool, only *inet.Addr, f func(Flow)) error {
	req, err := request(v6, only)
	if err != nil {
		return fmt.Errorf("encode filter: %w", err)
	}
	if _, err := t.raw.Send(req); err != nil {
		return fmt.Errorf("dump flows: %w", err)
	}
	if err := t.read(f); err != nil {
		return fmt.Errorf("dump flows: %w", err)
	}
	return nil
}

func request(v6 bool, only *inet.Addr) (netlink.Message, error) {
	family := byte(unix.AF_INET)
	if v6 {
		family = unix.AF_INET6
	}
	flags := uint32(filterProtoNum)
	enc := netlink.NewAttributeEncoder()
	enc.ByteOrder = binary.BigEndian
	enc.Nested(attrTupleOrig, func(tuple *netlink.AttributeEncoder) error {
		// Not for IPv6: the kernel compares those addresses the wrong way
		// round and leaves out what was asked for (seen on 6.18).
		if only != nil && !only.IsNodePort() && !v6 {
			flags |= filterIPDst
			tuple.Nested(attrTupleIP, func(ip *netlink.AttributeEncoder) error {
				ip.Bytes(attrIP4Dst, only.IP.AsSlice())
				return nil
			})
		}
		tuple.Nested(attrTupleProto, func(proto *netlink.AttributeEncoder) error {
			proto.Uint8(attrProtoNum, uint8(inet.UDP))
			if only != nil {
				flags |= filterDstPort
				proto.Uint16(attrProtoDst, only.Port)
			}
			return nil
		})
		return nil
	})
	enc.Nested(attrFilter, func(filter *netlink.AttributeEncoder) error {
		filter.ByteOrder = binary.NativeEndian // the one number here that is not for the wire
		filter.Uint32(attrFilterOrig, flags)
		return nil
	})
	body, err := enc.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: msgGet, Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, body...),
	}, err
}

// read takes the answer piece by piece, so that a table of any size costs one
// buffer.
func (t *table) read(f func(Flow)) error {
	raw, err := t.raw.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				return unix.EINTR // the table was resized meanwhile: flows may be missing
			}
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			}
			if flow, ok := parseFlow(m.Data); ok {
				f(flow)
			}
		}
	}
}

// parseFlow reads the two tuples of a flow and skips everything else.
func parseFlow(data []byte) (Flow, bool) {
	var orig, reply tuple
	ok := true
	each(data[min(4, len(data)):], func(typ uint16, body []byte) {
		switch typ {
		case attrTupleOrig:
			orig = parseTuple(body)
		case attrTupleReply:
			reply = parseTuple(body)
		}
	})
	ok = orig.src.IsValid() && orig.dst.IsValid() && reply.src.IsValid()
	return Flow{
		Client:   netip.AddrPortFrom(orig.src, orig.sport),
		Dialled:  inet.Addr{IP: orig.dst, Port: orig.dport, Proto: orig.proto},
		Answerer: netip.AddrPortFrom(reply.src, reply.sport),
	}, ok
}

type tuple struct {
	src, dst     netip.Addr
	sport, dport uint16
	proto        inet.Proto
}

func parseTuple(b []byte) tuple {
	var t tuple
	each(b, func(typ uint16, body []byte) {
		each(body, func(part uint16, v []byte) {
			switch {
			case typ == attrTupleIP && (part == attrIP4Src || part == attrIP6Src):
				t.src, _ = netip.AddrFromSlice(v)
			case typ == attrTupleIP && (part == attrIP4Dst || part == attrIP6Dst):
				t.dst, _ = netip.AddrFromSlice(v)
			case typ == attrTupleProto && part == attrProtoNum && len(v) > 0:
				t.proto = inet.Proto(v[0])
			case typ == attrTupleProto && part == attrProtoSrc && len(v) > 1:
				t.sport = binary.BigEndian.Uint16(v)
			case typ == attrTupleProto && part == attrProtoDst && len(v) > 1:
				t.dport = binary.BigEndian.Uint16(v)
			}
		})
	})
	return t
}

// each calls f for every attribute. It allocates nothing: this is done for
// every flow of the table.
func each(b []byte, f func(typ uint16, body []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// delete removes a flow; one that has ended meanwhile is as good.
func (t *table) delete(f Flow) error {
	flow := conntrack.NewFlow(uint8(f.Dialled.Proto), 0, f.Client.Addr(), f.Dialled.IP, f.Client.Port(), f.Dialled.Port, 0, 0)
	if err := t.conn.Delete(flow); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete flow %s -> %s: %w", f.Client, f.Dialled, err)
	}
	return nil
}
