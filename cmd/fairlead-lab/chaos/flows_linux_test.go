// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/chaos"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// translated is a node with two servers and an address that the kernel translates to one of them.
type translated struct {
	*testing.T
	ns   *netns.NS
	node *lab.Host
	mu   sync.Mutex
	open []net.Conn // of the servers
}

const translatedTo = "192.0.2.1:80"

// nft runs nft in the namespace of the node.
func (n *translated) nft(rules string) {
	n.Helper()
	if out, err := nstest.Command(n.T, n.ns, "nft", rules).CombinedOutput(); err != nil {
		n.Fatalf("nft %s: %v\n%s", rules, err, out)
	}
}

// translate makes new connections go to a server.
func (n *translated) translate(server string) {
	n.Helper()
	n.nft("add table ip t; flush table ip t; add chain ip t out { type nat hook output priority -100; }; add rule ip t out ip daddr 192.0.2.1 tcp dport 80 dnat to " + server + ":80")
}

// untracked waits until the kernel tracks nothing, which it stops some time after the last rule is
// gone that needs it.
func (n *translated) untracked() {
	n.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatal("the kernel tracks connections for 30 s after the last rule that needs it")
		}
		var source net.Addr
		if err := n.ns.Do(func() error {
			conn, err := new(net.Dialer).DialContext(n.Context(), "udp", "127.0.0.1:9")
			if err != nil {
				return err
			}
			source = conn.LocalAddr()
			_, _ = conn.Write([]byte("x"))
			return conn.Close()
		}); err != nil {
			n.Fatal(err)
		}
		out, err := nstest.Command(n.T, n.ns, "conntrack", "-L", "-p", "udp").Output()
		if err != nil {
			n.Fatal(err)
		}
		if _, port, _ := net.SplitHostPort(source.String()); !strings.Contains(string(out), "sport="+port+" ") {
			return
		}
	}
}

// serve answers connections to an address until the test ends.
func (n *translated) serve(server string) {
	n.Helper()
	var l net.Listener
	err := n.ns.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(n.Context(), "tcp", server+":80")
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(server))
			n.mu.Lock()
			n.open = append(n.open, conn)
			n.mu.Unlock()
		}
	}()
}

// connect makes a connection from a port and returns the server that answered, and what ends the
// connection at both ends without a trace in their kernel.
func (n *translated) connect(port int) (server string, end func()) {
	n.Helper()
	var conn net.Conn
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, Timeout: 20 * time.Second,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		},
	}
	err := n.ns.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(n.Context(), 20*time.Second)
		defer cancel()
		conn, err = d.DialContext(ctx, "tcp", translatedTo)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var b [64]byte
	size, err := conn.Read(b[:])
	if err != nil {
		n.Fatal(err)
	}
	return string(b[:size]), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range append(n.open, conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
		n.open = nil
	}
}

// TestResumedByKernel has the kernel miss the end of a connection, because nothing tracks
// connections any more, and then take a new connection from the same port for it. That excuses the
// wrong server. The same server is reported where the table leads to it: from another port, and
// from the same one once the kernel has forgotten the old connection.
func TestResumedByKernel(t *testing.T) {
	const left, right = "127.0.0.2", "127.0.0.3"
	n := &translated{T: t, ns: nstest.New(t)}
	n.node = &lab.Host{Name: "node", NS: n.ns}
	for _, cmd := range []string{"ip link set lo up", "ip address add 192.0.2.1/32 dev lo"} {
		args := strings.Fields(cmd)
		if out, err := nstest.Command(t, n.ns, args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	n.serve(left)
	n.serve(right)
	n.translate(left)
	r := newRunner()
	r.Cluster.Nodes = []*lab.Node{{Host: n.node}}
	if err := r.datesFlows(); os.IsNotExist(err) {
		nstest.Skip(t, "the kernel remembers no times of flows (CONFIG_NF_CONNTRACK_TIMESTAMP)")
	} else if err != nil {
		t.Fatal(err)
	}
	svc := testService(false, "a", "b", "c")
	svc.Endpoints[0].Pod.Addr4 = netip.MustParseAddr(left)
	r.pool = svc.Endpoints
	svc.toggle(svc.Endpoints[0], false, time.Second) // a minute ago
	ask := func(what string, port int, want string, failures, old int) (end func()) {
		t.Helper()
		r.failures, r.tally.old = nil, 0
		c := &client{name: "c", svc: svc, to: inet.Addr{IP: netip.MustParseAddr("192.0.2.1"), Port: 80, Proto: inet.TCP}}
		c.flow = chaos.Flow{
			Client: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)),
			To:     netip.MustParseAddrPort(translatedTo), Since: r.now(),
		}
		server, end := n.connect(port)
		if server != want {
			t.Fatalf("%s: answered by %s, want %s", what, server, want)
		}
		name := "b"
		if server == left {
			name = "a"
		}
		if r.judgeServer(c, name, r.now()); len(r.failures) != failures || r.tally.old != old {
			t.Errorf("%s: failures %q, want %d; %d taken for earlier ones, want %d", what, r.failures, failures, r.tally.old, old)
		}
		return end
	}
	end := ask("the table leads to a server that left", 40000, left, 1, 0)
	n.nft("delete table ip t")
	n.untracked()
	end()
	n.translate(right)
	ask("a new port", 40001, right, 0, 0)()
	time.Sleep(200 * time.Millisecond) // so that the old one is older than clocks may differ
	ask("the port of a connection whose end the kernel missed", 40000, left, 0, 1)()
	n.translate(left)
	ask("a new port, and the table leads to a server that left", 40002, left, 1, 0)()
	if out, err := nstest.Command(t, n.ns, "conntrack", "-F").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ask("the kernel has forgotten the old one", 40000, left, 1, 0)()
}
