// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/netip"
)

// Chunk types of RFC 9260, section 3.2, and the parameter that carries a reply.
const (
	sctpInitChunk    = 1
	sctpInitAckChunk = 2
	sctpCookie       = 7
)

// Sizes of an SCTP packet's parts.
const (
	sctpHeaderLen = 12
	sctpInitLen   = 20 // an INIT chunk without parameters
	sctpParamLen  = 4  // type and length of a parameter
)

// sctpInit is the client's side of an association that is never completed.
type sctpInit struct {
	source, dest uint16
	tag          uint32
}

func newInit(source, dest uint16) sctpInit {
	return sctpInit{source: source, dest: dest, tag: rand.Uint32() | 1}
}

func sctpNetwork(a netip.Addr) string {
	if a.Is4() {
		return "ip4:132"
	}
	return "ip6:132"
}

// roundTrip sends the INIT and returns the text in the cookie of the INIT ACK.
func (i sctpInit) roundTrip(c *net.IPConn) (string, error) {
	if _, err := c.Write(sctpPacket(i.source, i.dest, 0, sctpInitChunk, i.tag, "")); err != nil {
		return "", err
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFromIP(buf)
		if err != nil {
			return "", err
		}
		p, ok := parseSCTP(buf[:n])
		if ok && p.kind == sctpInitAckChunk && p.dest == i.source && p.vtag == i.tag {
			return p.cookie, nil
		}
	}
}

// answerInits acknowledges the INITs that arrive for port.
func (s *Server) answerInits(c *net.IPConn, port uint16) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromIP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p, ok := parseSCTP(buf[:n])
		if !ok || p.kind != sctpInitChunk || p.dest != port {
			continue // every raw socket of the host sees every SCTP packet
		}
		s.accepted.Add(1)
		ip, _ := netip.AddrFromSlice(from.IP)
		cookie := Reply{Server: s.name, Source: netip.AddrPortFrom(ip.Unmap(), p.source)}.encode()
		_, _ = c.WriteToIP(sctpPacket(port, p.source, p.tag, sctpInitAckChunk, rand.Uint32()|1, cookie), from)
	}
}

// sctpPacket makes a packet with one INIT or INIT ACK chunk. The checksum is
// valid, because conntrack checks it.
func sctpPacket(source, dest uint16, vtag uint32, kind byte, tag uint32, cookie string) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, sctpHeaderLen+sctpInitLen+sctpParamLen+len(cookie)+3)
	b = be.AppendUint16(b, source)
	b = be.AppendUint16(b, dest)
	b = be.AppendUint32(b, vtag)
	b = be.AppendUint32(b, 0) // checksum
	b = append(b, kind, 0, 0, 0)
	b = be.AppendUint32(b, tag)
	b = be.AppendUint32(b, 1<<16) // receiver window
	b = be.AppendUint16(b, 1)     // outbound streams
	b = be.AppendUint16(b, 1)     // inbound streams
	b = be.AppendUint32(b, tag)   // initial TSN
	if cookie != "" {
		b = be.AppendUint16(b, sctpCookie)
		b = be.AppendUint16(b, uint16(sctpParamLen+len(cookie)))
		b = append(b, cookie...)
	}
	be.PutUint16(b[sctpHeaderLen+2:], uint16(len(b)-sctpHeaderLen)) // the last parameter's padding does not count
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	// RFC 9260, appendix A: CRC-32C, least significant byte first.
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

type sctpParsed struct {
	source, dest uint16
	vtag, tag    uint32
	kind         byte
	cookie       string
}

func parseSCTP(b []byte) (p sctpParsed, ok bool) {
	be := binary.BigEndian
	if len(b) < sctpHeaderLen+sctpInitLen {
		return p, false
	}
	p.source, p.dest, p.vtag = be.Uint16(b), be.Uint16(b[2:]), be.Uint32(b[4:])
	p.kind, p.tag = b[sctpHeaderLen], be.Uint32(b[sctpHeaderLen+4:])
	param := b[sctpHeaderLen+sctpInitLen:]
	if len(param) < sctpParamLen {
		return p, true
	}
	size := int(be.Uint16(param[2:]))
	if be.Uint16(param) != sctpCookie || size < sctpParamLen || size > len(param) {
		return p, false
	}
	p.cookie = string(param[sctpParamLen:size])
	return p, true
}
