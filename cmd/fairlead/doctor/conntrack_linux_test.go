// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/conntrack"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
)

// mostFlows bounds the flows that TestConntrackFull makes. The limit of the machine counts
// for each network namespace on its own.
const mostFlows = 300_000

// TestConntrackFull fills the table of flows of a namespace with flows that the kernel does
// not give up. The next packet is lost, and the check says so.
func TestConntrackFull(t *testing.T) {
	ns := nstest.New(t)
	for _, command := range []string{"add table ip track", "add chain ip track c { type filter hook output priority 0; }", "add rule ip track c ct state new counter"} {
		if out, err := nstest.Command(t, ns, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
	}
	err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		fill, err := conntrack.ReadFill(nil)
		if err != nil {
			return err
		}
		if fill.Limit == 0 || fill.Limit > mostFlows {
			nstest.Skip(t, "the limit of this machine is too high to be reached")
		}
		if err := fillFlows(fill.Limit); err != nil {
			return err
		}
		d := newDoctor()
		d.checkConntrack(t.Context())
		d.want(t, finding.Error, "(100 %)", "sysctl -w net.netfilter.nf_conntrack_max=")
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		defer func() { _ = socket.Close() }()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			_, _ = socket.WriteTo([]byte("x"), socket.LocalAddr()) // a packet that is lost may be an error
			if fill, err = conntrack.ReadFill(nil); err != nil || fill.Dropped > 0 {
				break
			}
		}
		d = newDoctor()
		d.checkConntrack(t.Context())
		d.want(t, finding.Error, "packets were dropped because the table had no room", "--conntrack-min")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fillFlows makes n flows of the current network namespace, which are answered and in use.
func fillFlows(n uint32) error {
	socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER})
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	const perClient, atOnce = 60_000, 200
	var refused error
	for at := uint32(0); at < n; at += atOnce {
		var m nl.Messages
		for i := at; i < min(at+atOnce, n); i++ {
			client := [4]byte{10, 0, 0, byte(1 + i/perClient)}
			putFlow(&m, client, uint16(1024+i%perClient))
		}
		if err := socket.Write(&m, func(_ int, err error) { refused = err }); err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}

// putFlow adds a request for a flow of UDP from a client to port 53 of 192.0.2.1.
func putFlow(m *nl.Messages, client [4]byte, port uint16) {
	const newFlow = unix.NFNL_SUBSYS_CTNETLINK << 8              // IPCTNL_MSG_CT_NEW
	const tupleIP, tupleProto, status, timeout = 1, 2, 3, 7      // CTA_...
	const seenReply, assured, confirmed = 1 << 1, 1 << 2, 1 << 3 // IPS_...
	server := [4]byte{192, 0, 2, 1}
	m.Begin(newFlow, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.AF_INET, 0, 0, 0)
	for kind, way := range map[uint16]struct {
		src, dst         [4]byte
		srcPort, dstPort uint16
	}{1: {client, server, port, 53}, 2: {server, client, 53, port}} {
		m.Nest(kind, func() {
			m.Nest(tupleIP, func() {
				m.Attr(1, way.src[:]...)
				m.Attr(2, way.dst[:]...)
			})
			m.Nest(tupleProto, func() {
				m.Attr(1, unix.IPPROTO_UDP)
				m.Attr(2, byte(way.srcPort>>8), byte(way.srcPort))
				m.Attr(3, byte(way.dstPort>>8), byte(way.dstPort))
			})
		})
	}
	m.BE32(status, seenReply|assured|confirmed)
	m.BE32(timeout, 3600)
}
