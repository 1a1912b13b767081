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
func (b *bed) question(t *testing.T, from netip.Addr, to inet.Addr) (c net.Conn) {
	t.Helper()
	check(t, b.client.NS.Do(func() (err error) {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, questionPort))}
		c, err = d.DialContext(t.Context(), "udp", to.AddrPort().String())
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	_, err := c.Write([]byte("?\n"))
	check(t, err)
	return c
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
