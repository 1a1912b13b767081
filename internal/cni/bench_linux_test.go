// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

// BenchmarkPlugin compares the links that the real plugins make, between two
// pods of one node: connections one after the other, and a stream, to the pod and
// through a Service. The two take turns, so that whatever else the machine does
// hits both; what is reported is medians of turns. ADR 12 has the numbers:
//
//	go test ./internal/cni -run '^$' -bench Plugin -benchtime 500x
func BenchmarkPlugin(b *testing.B) {
	ways := map[Plugin]*way{}
	for _, plugin := range []Plugin{PTP, Bridge} {
		r := newEngine(b, Config{Plugin: plugin, PodCIDRs: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), MTU: 1450})
		client, server := r.add(b.Context(), b, "client"), r.add(b.Context(), b, "server")
		sink(b, server.NS)
		vips := service(b, r, server)
		ways[plugin] = &way{client.NS, map[string]netip.Addr{
			"pod4": server.addrs[0], "pod6": server.addrs[1], "service4": vips[0], "service6": vips[1],
		}}
	}
	for _, to := range []string{"pod4", "pod6", "service4", "service6"} {
		b.Run("connect/"+to, func(b *testing.B) { turns(b, ways, to, connects, perTurn, "conn/s") })
		b.Run("stream/"+to, func(b *testing.B) { turns(b, ways, to, stream, float64(turnBytes)/1e6, "MB/s") })
	}
}

const (
	perTurn   = 20      // connections
	turnBytes = 4 << 20 // of a stream
)

// way is a pod and what it dials.
type way struct {
	client  *netns.NS
	targets map[string]netip.Addr
}

// turns has each plugin do its work b.N times, and reports units of work per
// second.
func turns(b *testing.B, ways map[Plugin]*way, to string, work func(netip.AddrPort) (time.Duration, error), units float64, unit string) {
	took := map[Plugin][]float64{}
	order := []Plugin{PTP, Bridge}
	for b.Loop() {
		slices.Reverse(order)
		for _, plugin := range order {
			w := ways[plugin]
			err := w.client.Do(func() error {
				d, err := work(netip.AddrPortFrom(w.targets[to], 80))
				took[plugin] = append(took[plugin], d.Seconds())
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	median := func(plugin Plugin) float64 {
		slices.Sort(took[plugin])
		return took[plugin][len(took[plugin])/2]
	}
	b.ReportMetric(units/median(PTP), "ptp-"+unit)
	b.ReportMetric(units/median(Bridge), "bridge-"+unit)
	b.ReportMetric(median(Bridge)/median(PTP), "ptp/bridge")
	b.ReportMetric(0, "ns/op")
}

// service translates port 80 of a virtual address of each family, and returns
// the addresses. Connection tracking is on for all traffic, as on every node.
func service(b *testing.B, r *engine, server *pod) []netip.Addr {
	b.Helper()
	vips := []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00:10:96::10")}
	cmd := nstest.Command(b, r.node, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`
		table inet bench {
			chain nat {
				type nat hook prerouting priority dstnat;
				ip daddr %s tcp dport 80 dnat ip to %s:80
				ip6 daddr %s tcp dport 80 dnat ip6 to [%s]:80
			}
		}`, vips[0], server.addrs[0], vips[1], server.addrs[1]))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("nft: %v: %s", err, out)
	}
	return vips
}

// sink greets every connection with a byte and reads until its end.
func sink(b *testing.B, ns *netns.NS) {
	b.Helper()
	for _, network := range []string{"tcp4", "tcp6"} {
		var l net.Listener
		if err := ns.Do(func() (err error) { l, err = net.Listen(network, ":80"); return err }); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = c.Write([]byte{'.'})
					buf := make([]byte, 1<<18)
					for err == nil {
						_, err = c.Read(buf)
					}
					_ = c.Close()
				}()
			}
		}()
	}
}

// open is connect(2) without Go's scheduler in the way, up to the first byte.
func open(to netip.AddrPort) (int, error) {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
	if to.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// No TIME_WAIT: ports would run out.
	err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.Connect(fd, sa)
	}
	if err == nil {
		_, err = unix.Read(fd, make([]byte, 1))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// connects makes connections, one after the other.
func connects(to netip.AddrPort) (time.Duration, error) {
	begin := time.Now()
	for range perTurn {
		fd, err := open(to)
		if err != nil {
			return 0, err
		}
		_ = unix.Close(fd)
	}
	return time.Since(begin), nil
}

// stream sends to one connection, and waits until all of it is acknowledged.
func stream(to netip.AddrPort) (time.Duration, error) {
	fd, err := open(to)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 1<<18)
	begin := time.Now()
	for left := turnBytes; left > 0; {
		n, err := unix.Write(fd, buf[:min(len(buf), left)])
		if err != nil {
			return 0, err
		}
		left -= n
	}
	for { // until the queue of the socket is empty
		n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if err != nil || n == 0 {
			return time.Since(begin), err
		}
	}
}
