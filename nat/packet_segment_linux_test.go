// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/lab"
)

// segment is a TCP segment without options.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
	size     int // of the payload
}

// Flags of RFC 9293, section 3.1.
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

const tcpHeader = 20

// segments is a raw socket beside the TCP of a host: it sends what it likes and
// gets a copy of every segment that arrives.
type segments struct {
	fd    int
	local netip.Addr
}

func openSegments(t *testing.T, h *lab.Host, local netip.Addr) *segments {
	t.Helper()
	return &segments{openSocket(t, h, netip.AddrPortFrom(local, 0), unix.SOCK_RAW, unix.IPPROTO_TCP), local}
}

func (s *segments) send(t *testing.T, seg segment) {
	t.Helper()
	to := netip.AddrPortFrom(seg.to.Addr(), 0) // a port is an error in IPv6
	if err := unix.Sendto(s.fd, seg.encode(), 0, sockaddr(to)); err != nil {
		t.Fatalf("send segment to %s: %v", seg.to, err)
	}
}

// take returns the next segment that has arrived.
func (s *segments) take(t *testing.T) (segment, bool) {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return segment{}, false
		}
		check(t, err)
		b := buf[:n]
		if s.local.Is4() { // with its IP header
			b = b[4*int(b[0]&0xf):]
		}
		if len(b) >= tcpHeader {
			return decodeSegment(b, addrPort(from).Addr(), s.local), true
		}
	}
}

// wait returns the segments that have arrived, up to the first that is as
// wanted, which must come.
func (s *segments) wait(t *testing.T, what string, wanted func(segment) bool) []segment {
	t.Helper()
	var all []segment
	for deadline := time.Now().Add(answered); time.Now().Before(deadline); {
		seg, ok := s.take(t)
		if !ok {
			poll(t, s.fd)
			continue
		}
		all = append(all, seg)
		if wanted(seg) {
			return all
		}
	}
	t.Fatalf("%s did not arrive at %s", what, s.local)
	return nil
}

func decodeSegment(b []byte, from, to netip.Addr) segment {
	be := binary.BigEndian
	return segment{
		from: netip.AddrPortFrom(from, be.Uint16(b)), to: netip.AddrPortFrom(to, be.Uint16(b[2:])),
		seq: be.Uint32(b[4:]), ack: be.Uint32(b[8:]), flags: b[13], size: len(b) - 4*int(b[12]>>4),
	}
}

// encode computes the checksum, because conntrack looks at it.
func (s segment) encode() []byte {
	be := binary.BigEndian
	b := be.AppendUint16(nil, s.from.Port())
	b = be.AppendUint16(b, s.to.Port())
	b = be.AppendUint32(b, s.seq)
	b = be.AppendUint32(b, s.ack)
	b = append(b, tcpHeader/4<<4, s.flags)
	b = be.AppendUint16(b, 1<<15) // window
	b = append(b, 0, 0, 0, 0)     // checksum, urgent pointer
	b = append(b, make([]byte, s.size)...)
	pseudo := append(s.from.Addr().AsSlice(), s.to.Addr().AsSlice()...)
	pseudo = be.AppendUint32(pseudo, uint32(len(b)))
	pseudo = be.AppendUint32(pseudo, unix.IPPROTO_TCP)
	be.PutUint16(b[16:], ^sum(sum(0, pseudo), b))
	return b
}

// sum adds up 16-bit words in ones' complement (RFC 1071).
func sum(start uint16, b []byte) uint16 {
	total := uint32(start)
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		total += uint32(b[len(b)-1]) << 8
	}
	for total>>16 != 0 {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
