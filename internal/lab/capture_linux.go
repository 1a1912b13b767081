// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Tunnelled is a VXLAN packet (RFC 7348) over IPv4 as it was seen on a device,
// with the addresses of the IP packet inside it.
type Tunnelled struct {
	Src, Dst           netip.AddrPort
	VNI                uint32
	InnerSrc, InnerDst netip.Addr
}

// CaptureTunnelled returns the first VXLAN packet to UDP port that passes device
// dev of the host and that match accepts. It is ready to capture when ready is
// called.
func (h *Host) CaptureTunnelled(ctx context.Context, dev string, port uint16, ready func(), match func(Tunnelled) bool) (Tunnelled, error) {
	link, err := h.link(dev)
	if err != nil {
		return Tunnelled{}, err
	}
	fd, err := h.packetSocket(link.Attrs().Index)
	if err != nil {
		return Tunnelled{}, fmt.Errorf("capture on %s in %s: %w", dev, h.Name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	ready()
	buf := make([]byte, 65536)
	for ctx.Err() == nil {
		n, err := unix.Read(fd, buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return Tunnelled{}, fmt.Errorf("capture on %s in %s: %w", dev, h.Name, err)
		}
		if t, ok := parseTunnelled(buf[:max(n, 0)]); ok && t.Dst.Port() == port && match(t) {
			return t, nil
		}
	}
	return Tunnelled{}, fmt.Errorf("capture on %s in %s: %w", dev, h.Name, ctx.Err())
}

// packetSocket opens a socket that sees what passes a device, from the IP header
// on, and from which reading never takes long.
func (h *Host) packetSocket(ifindex int) (fd int, err error) {
	proto := EtherType(unix.ETH_P_ALL)
	wait := unix.NsecToTimeval(int64(50 * time.Millisecond))
	err = h.NS.Do(func() error {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(proto))
		if err != nil {
			return err
		}
		err := errors.Join(
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifindex}),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
		if err != nil {
			_ = unix.Close(fd)
		}
		return err
	})
	return fd, err
}

// EtherType returns a type of frames as packet sockets take it: in network byte order.
func EtherType(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// Sizes of headers.
const (
	udpLen, vxlanLen, etherLen = 8, 8, 14
	ip4Len, ip6Len             = 20, 40
)

func parseTunnelled(b []byte) (t Tunnelled, ok bool) {
	if len(b) < ip4Len || b[0]>>4 != 4 || b[9] != unix.IPPROTO_UDP {
		return t, false
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	b = b[min(int(b[0]&0xf)*4, len(b)):]
	if len(b) < udpLen+vxlanLen+etherLen {
		return t, false
	}
	t.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	t.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	t.VNI = binary.BigEndian.Uint32(b[udpLen+4:]) >> 8
	b = b[udpLen+vxlanLen:]
	switch typ, b := binary.BigEndian.Uint16(b[12:]), b[etherLen:]; {
	case typ == unix.ETH_P_IP && len(b) >= ip4Len:
		t.InnerSrc, t.InnerDst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case typ == unix.ETH_P_IPV6 && len(b) >= ip6Len:
		t.InnerSrc, t.InnerDst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return t, false
	}
	return t, true
}
