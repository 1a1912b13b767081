// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/nat"
)

var loopbackAddrs = [2]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// TestPacketHostPortForeign lets a pod ask for addresses of other hosts. Connections to
// them that pass the node go where they went before.
func TestPacketHostPortForeign(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	var ports []nat.HostPort
	for family := range ipFamilies {
		for _, proto := range protos {
			for _, a := range []inet.Addr{
				at(b.Outside.Addrs()[family], hostPort, proto), at(b.other.Addrs()[family], hostPort, proto), at(b.there.Addrs()[family], podPort, proto),
			} {
				ports = append(ports, nat.HostPort{Addr: a, Pod: netip.AddrPortFrom(b.web.Addrs()[family], podPort), Owner: "default/grabs"})
			}
		}
	}
	b.state.SetHostPorts(ports)
	b.configure(t, set)
	eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
		t.Helper()
		self := b.node.Addrs()[family].String()
		for _, from := range []*lab.Host{b.client.Host, b.node.Host} {
			saw, pod := self, self
			if from == b.client.Host {
				pod = b.client.Addrs()[family].String()
			}
			expect(t, from, netip.Addr{}, at(b.Outside.Addrs()[family], hostPort, proto), "outside saw "+saw)
			expect(t, from, netip.Addr{}, at(b.other.Addrs()[family], hostPort, proto), "node-2 saw "+saw)
			expect(t, from, netip.Addr{}, at(b.there.Addrs()[family], podPort, proto), "there saw "+pod)
		}
	})
}

// TestPacketLoopback serves host ports and NodePorts on loopback addresses, for the
// node itself and for nobody else.
func TestPacketLoopback(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		link    lab.PodLink
		devices func(b *bed) []string
	}{
		"ptp":    {lab.PTP, func(b *bed) []string { return []string{b.client.Device(), b.web.Device()} }},
		"bridge": {lab.Bridge, func(*bed) []string { return []string{"cni0"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, tt.link)
			for _, dev := range tt.devices(b) {
				check(t, b.node.Sysctl("ipv4/conf/"+dev+"/route_localnet", "1"))
			}
			set := b.settings()
			set.Loopback = true
			b.state.SetHostPorts(hostPorts(b.web))
			b.configure(t, set)
			eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
				t.Helper()
				gateway, first := b.gateway(family), b.node.Addrs()[family]
				for _, port := range []uint16{portEverywhere, portLoopback} {
					to := at(loopbackAddrs[family], port, proto)
					if family == 0 {
						expect(t, b.node.Host, netip.Addr{}, to, "web saw "+gateway.String())
						expect(t, b.node.Host, first, to, "web saw "+first.String())
					} else {
						expect(t, b.node.Host, netip.Addr{}, to, "refused")
					}
					expect(t, b.client.Host, netip.Addr{}, to, "refused")
				}
				for _, from := range []*lab.Host{b.Outside, b.client.Host, b.other.Host} {
					expect(t, from, netip.Addr{}, at(first, portLoopback, proto), "refused")
					expect(t, from, netip.Addr{}, at(first, portEverywhere, proto), "web saw "+from.Addrs()[family].String())
				}
			})
		})
	}
}

// TestPacketLoopbackNodePort opts in to NodePorts on loopback addresses.
func TestPacketLoopbackNodePort(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	check(t, b.node.Sysctl("ipv4/conf/all/route_localnet", "1"))
	unspecified := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for family := range ipFamilies {
		for _, proto := range protos {
			b.serve(t, nat.External, at(unspecified[family], 30080, proto), netip.AddrPortFrom(b.there.Addrs()[family], podPort), false)
			b.state.Set(at(unspecified[family], 30081, proto), nat.Frontend{
				Policy: nat.Local, Owner: "default/local",
				Backends:      []nat.Backend{nat.BackendAt(netip.AddrPortFrom(b.web.Addrs()[family], podPort), true)},
				LocalBackends: []netip.AddrPort{netip.AddrPortFrom(b.web.Addrs()[family], podPort)},
			})
		}
	}
	set := b.settings()
	for _, on := range []bool{false, true, false} {
		b.configure(t, set)
		if on {
			with := set
			with.NodePortAddrs = append(with.NodePortAddrs[:2:2], netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			b.configure(t, with)
		}
		eachWay(t, func(t *testing.T, family int, proto inet.Proto) {
			t.Helper()
			want := [2]string{"refused", "refused"}
			if on && family == 0 {
				want = [2]string{"there saw " + b.node.Addrs()[family].String(), "web saw " + b.gateway(family).String()}
			}
			expect(t, b.node.Host, netip.Addr{}, at(loopbackAddrs[family], 30080, proto), want[0])
			expect(t, b.node.Host, netip.Addr{}, at(loopbackAddrs[family], 30081, proto), want[1])
			expect(t, b.Outside, netip.Addr{}, at(b.node.Addrs()[family], 30080, proto), "there saw "+b.node.Addrs()[family].String())
		})
	}
}

// TestPacketLoopbackWire sends packets from and to 127.0.0.1 over the wire, from a pod
// and from another host (CVE-2020-8558). Without the rules they arrive, because the
// devices have route_localnet.
func TestPacketLoopbackWire(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	check(t, b.node.Sysctl("ipv4/conf/all/route_localnet", "1"))
	set := b.settings()
	set.Loopback = true
	b.configure(t, set)
	public := openDatagrams(t, b.node.Host, netip.AddrPortFrom(b.node.Addr4, control))
	here, localhost := b.node.Addr4, loopbackAddrs[0]
	for i, wire := range []struct {
		from     *lab.Host
		device   string // of the node, at the other end
		src, dst netip.Addr
	}{
		{b.client.Host, b.client.Device(), b.client.Addr4, localhost},
		{b.other.Host, "eth0", b.other.Addr4, localhost},
		{b.other.Host, "eth0", b.other.Addr4, netip.MustParseAddr("127.1.2.3")},
	} {
		ear := openDatagrams(t, b.node.Host, netip.AddrPortFrom(wire.dst, control+1+uint16(i)))
		honest := speak(t, wire.from, wire.from.Addr4)
		for _, rules := range []bool{true, false} {
			if rules {
				b.configure(t, set)
			} else {
				check(t, nstest.Command(t, b.node.NS, "nft", "flush chain inet fairlead source-check").Run())
			}
			text := fmt.Sprintf("from %s to %s, rules: %v", wire.from.Name, wire.dst, rules)
			seen := false
			for range 3 {
				public.deliver(t, text, func() error {
					inject(t, wire.from, b.node.Host, wire.device, datagram(wire.src, wire.dst, ear.port(t), text))
					return honest.send(netip.AddrPortFrom(here, control), text)
				})
				_, got := ear.take(t, text)
				seen = seen || got
			}
			if seen == rules {
				t.Errorf("%s: arrived: %v, want %v", text, seen, !rules)
			}
		}
		b.reload(t)
	}
}

// reload repairs the table after another program changed it.
func (b *bed) reload(t *testing.T) {
	t.Helper()
	found, err := b.table.Load(t.Context())
	check(t, err)
	b.state.Adopt(found)
	b.commit(t)
}

// port returns the port that a socket is bound to.
func (d *datagrams) port(t *testing.T) uint16 {
	t.Helper()
	local, err := unix.Getsockname(d.fd)
	check(t, err)
	return addrPort(local).Port()
}

// datagram returns an IPv4 packet with a UDP datagram without checksum.
func datagram(src, dst netip.Addr, port uint16, text string) []byte {
	const ipHeader, udpHeader = 20, 8
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(text))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	var n uint32
	for i := 0; i < ipHeader; i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	n = n&0xffff + n>>16
	binary.BigEndian.PutUint16(b[10:], ^uint16(n+n>>16))
	binary.BigEndian.PutUint16(b[ipHeader:], 4242)
	binary.BigEndian.PutUint16(b[ipHeader+2:], port)
	binary.BigEndian.PutUint16(b[ipHeader+4:], uint16(udpHeader+len(text)))
	return append(b, text...)
}

// inject sends a packet out of eth0 of a host to a device at the other end, past the
// host's own IP layer.
func inject(t *testing.T, from, to *lab.Host, device string, packet []byte) {
	t.Helper()
	var mac net.HardwareAddr
	check(t, to.NS.Do(func() error {
		link, err := net.InterfaceByName(device)
		if err == nil {
			mac = link.HardwareAddr
		}
		return err
	}))
	check(t, from.NS.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		addr := unix.SockaddrLinklayer{Protocol: lab.EtherType(unix.ETH_P_IP), Ifindex: link.Index, Halen: 6}
		copy(addr.Addr[:], mac)
		return unix.Sendto(fd, packet, 0, &addr)
	}))
}
