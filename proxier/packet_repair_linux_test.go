// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

// gated is a table in the kernel that an agent neither reads nor writes while another
// goroutine holds the gate, as if the agent was stopped.
type gated struct {
	pausing
	gate *sync.RWMutex
}

func (g gated) pass() {
	g.gate.RLock()
	defer g.gate.RUnlock()
}

func (g gated) Load(ctx context.Context) (*ruleset.Snapshot, error) {
	g.pass()
	return g.pausing.Load(ctx)
}

func (g gated) LoadRules(ctx context.Context) (*ruleset.Snapshot, error) {
	g.pass()
	return g.pausing.LoadRules(ctx)
}

func (g gated) LoadNamed(ctx context.Context) (*ruleset.Named, error) {
	g.pass()
	return g.pausing.LoadNamed(ctx)
}

func (g gated) Commit(ctx context.Context, b ruleset.Batch) error {
	g.pass()
	return g.pausing.Commit(ctx, b)
}

// TestPacketRepairFlows has another program take the translation away from an agent that is
// stopped, while a third one tracks connections, as a firewall does. Clients that begin
// meanwhile are in connection tracking without a translation, and each packet of theirs
// renews that entry. Once the table is repaired, they are served nevertheless.
func TestPacketRepairFlows(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"deleted": "delete table inet fairlead", "flushed": "flush table inet fairlead",
		"dormant": "add table inet fairlead { flags dormant; }", "rules": "flush chain inet fairlead services",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, defaults(), lab.PTP)
			b.nft(t, "add table inet other; add chain inet other f { type filter hook forward priority 0; }; add rule inet other f ct state established accept")
			b.apply(t, serviceObject(1, everyProtocol))
			b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here), ready(b.there))...)
			b.swallow(t, clusterIP(1)) // Nobody answers there.
			b.sweep(t)                 // what the objects led to
			b.gate.Lock()
			open := sync.OnceFunc(b.gate.Unlock)
			t.Cleanup(open) // before the agent is awaited
			b.nft(t, damage)
			var clients []tcpClient
			var asked []net.Conn
			for family, ip := range b.client.Addrs() {
				to := b.frontend("ClusterIP", 1, family)
				clients = append(clients, tcpClient{netip.AddrPortFrom(ip, 40005), to})
				asked = append(asked, b.question(t, ip, to))
			}
			got := greetings(t, b.client.Host, clients)
			waitFor(t, "the flows are in the table", func() bool {
				askAgain(asked)
				return b.entries(t, 40005) == len(clients) && b.entries(t, questionPort) == len(asked)
			})
			open()
			for range clients {
				if s := <-got; !strings.Contains(s, "here") && !strings.Contains(s, "there") {
					t.Errorf("a client that dialled meanwhile: %q", s)
				}
			}
			for _, c := range asked {
				waitFor(t, fmt.Sprintf("%s is answered", c.RemoteAddr()), func() bool { return answersAt(c) })
			}
		})
	}
}

// TestPacketRepairMasquerade has another program take nothing but masquerade away from an agent
// that is stopped. Replies to the addresses of clients get lost, as in most clusters. Once the
// table is repaired, clients are answered that began meanwhile: from outside by a NodePort, from
// a pod to the outside, and from a pod to itself through a Service.
func TestPacketRepairMasquerade(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"rules": "flush chain inet fairlead postrouting", "hook": "flush chain inet fairlead postrouting; delete chain inet fairlead postrouting",
		"last rule": "flush chain inet fairlead masq",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := defaults()
			cfg.Masquerade = true
			b := newBed(t, cfg, lab.PTP)
			const outside = 9000
			for _, proto := range []inet.Proto{inet.TCP, inet.UDP} {
				_, err := b.Outside.ServeAs("outside", proto, outside, b.Outside.Addrs()...)
				check(t, err)
			}
			for n, member := range []member{ready(b.there), ready(b.here)} {
				b.apply(t, serviceObject(n+1, everyProtocol))
				b.apply(t, slicesWith(n+1, everyProtocolPorts(), member)...)
			}
			for _, lossy := range []struct{ at, to *lab.Host }{{at: b.Outside, to: b.client.Host}, {at: b.other.Host, to: b.Outside}} {
				lose(t, lossy.at, lossy.to.Addrs())
			}
			b.sweep(t)
			b.gate.Lock()
			open := sync.OnceFunc(b.gate.Unlock)
			t.Cleanup(open)
			b.nft(t, damage)
			type attempt struct {
				from *lab.Host
				to   func(family int) inet.Addr
				want string
			}
			clients := map[string][]tcpClient{}
			asked := map[string][]net.Conn{}
			attempts := map[string]attempt{
				"NodePort": {b.Outside, func(f int) inet.Addr { return b.frontend("NodePort", 1, f) }, "there"},
				"egress":   {b.client.Host, func(f int) inet.Addr { return inet.Addr{IP: b.Outside.Addrs()[f], Port: outside} }, "outside"},
				"itself":   {b.here.Host, func(f int) inet.Addr { return b.frontend("ClusterIP", 2, f) }, "here"},
			}
			for kind, a := range attempts {
				for family, ip := range a.from.Addrs() {
					to := a.to(family)
					to.Proto = inet.TCP
					clients[kind] = append(clients[kind], tcpClient{netip.AddrPortFrom(ip, 40007), to})
					asked[kind] = append(asked[kind], question(t, a.from, ip, to))
				}
			}
			for kind, conns := range asked {
				if answersAt(conns[0]) {
					t.Errorf("%s: %s is answered without masquerade", kind, conns[0].RemoteAddr())
				}
			}
			got := map[string]<-chan string{}
			for kind, a := range attempts {
				got[kind] = greetings(t, a.from, clients[kind])
			}
			waitFor(t, "the flows are in the table", func() bool {
				for _, conns := range asked {
					askAgain(conns)
				}
				return b.entries(t, 40007) == 2*len(got) && b.entries(t, questionPort) == 2*len(asked)
			})
			open()
			for kind, conns := range asked {
				for _, c := range conns {
					waitFor(t, fmt.Sprintf("%s: %s is answered", kind, c.RemoteAddr()), func() bool { return answersAt(c) })
				}
			}
			for kind, a := range attempts {
				for range ipFamilies {
					if s := <-got[kind]; !strings.Contains(s, a.want) {
						t.Errorf("%s: a client that dialled meanwhile: %q", kind, s)
					}
				}
			}
		})
	}
}

// lose makes a host drop what it sends or forwards to addresses.
func lose(t *testing.T, h *lab.Host, to []netip.Addr) {
	t.Helper()
	for _, hook := range []string{"output", "forward"} {
		rules := fmt.Sprintf("add table inet lose; add chain inet lose %s { type filter hook %s priority 0; }; add rule inet lose %s ip daddr %s drop; add rule inet lose %s ip6 daddr %s drop",
			hook, hook, hook, to[0], hook, to[1])
		if out, err := nstest.Command(t, h.NS, "nft", rules).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", rules, err, out)
		}
	}
}

// nft changes the rules of node-1.
func (b *bed) nft(t *testing.T, commands string) {
	t.Helper()
	if out, err := nstest.Command(t, b.node.NS, "nft", commands).CombinedOutput(); err != nil {
		t.Fatalf("nft %s: %v\n%s", commands, err, out)
	}
}

// questionPort is where questions over UDP come from.
const questionPort = 40006

// question asks once over UDP, from a fixed port of the client, and does not wait.
func (b *bed) question(t *testing.T, from netip.Addr, to inet.Addr) net.Conn {
	t.Helper()
	return question(t, b.client.Host, from, to)
}

// question is the same for any client.
func question(t *testing.T, host *lab.Host, from netip.Addr, to inet.Addr) (c net.Conn) {
	t.Helper()
	check(t, host.NS.Do(func() (err error) {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, questionPort))}
		c, err = d.DialContext(t.Context(), "udp", to.AddrPort().String())
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	_, err := c.Write([]byte("?\n"))
	check(t, err)
	return c
}

// askAgain asks once more, as clients do: a question can be lost, for one while the address of the
// next hop is resolved.
func askAgain(conns []net.Conn) {
	for _, c := range conns {
		_, _ = c.Write([]byte("?\n"))
	}
}

// answersAt asks again, and reports whether an answer comes soon.
func answersAt(c net.Conn) bool {
	if _, err := c.Write([]byte("?\n")); err != nil {
		return false
	}
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return false
	}
	n, err := c.Read(make([]byte, 512))
	return err == nil && n > 0
}
