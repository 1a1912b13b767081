// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/firewall"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

const (
	tunnelPort = 8472
	healthPort = 30333
	nodePort   = 30080
)

// inputWorld is a node that serves a tunnel's port, whose packets it does not track,
// and the port of a health check.
type inputWorld struct {
	*world
	peer, outside *lab.Host
}

func newInputWorld(t *testing.T) *inputWorld {
	t.Helper()
	c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true})
	n := c.Nodes[0]
	w := &inputWorld{world: &world{node: n, client: labtest.Pod(t, n, "client", 0)}, peer: c.Nodes[1].Host, outside: c.Outside}
	w.config = firewall.Config{
		Uplink: "eth0", Own: "inet fairlead", Self: n.Addrs(), Peers: c.Nodes[1].Addrs(),
		Ports: []firewall.Port{
			{Proto: 17, Number: tunnelPort, Use: firewall.Tunnel},
			{Proto: 6, Number: healthPort, Use: firewall.HealthCheck},
			{Proto: 6, Number: nodePort, Use: firewall.NodePort},
		},
	}
	for _, s := range []struct {
		proto inet.Proto
		port  uint16
	}{{inet.UDP, tunnelPort}, {inet.TCP, healthPort}, {inet.TCP, nodePort}} {
		if _, err := n.Serve(s.proto, s.port); err != nil {
			t.Fatal(err)
		}
	}
	w.run(t, `table inet fairlead { chain tunnels { type filter hook prerouting priority raw; udp dport 8472 notrack
		}
		chain out { type filter hook output priority raw; udp sport 8472 notrack
		}
	}`)
	return w
}

// dropped returns which packets do not get to the node. It is patient with those that are not expected
// to be dropped, because a machine may be busy.
func (w *inputWorld) dropped(t *testing.T, expected string) string {
	t.Helper()
	var names []string
	var lost [6]bool
	var all sync.WaitGroup
	for _, tt := range []struct {
		name  string
		from  *lab.Host
		proto inet.Proto
		port  uint16
	}{{"tunnel", w.peer, inet.UDP, tunnelPort}, {"health", w.outside, inet.TCP, healthPort}, {"nodeport", w.outside, inet.TCP, nodePort}} {
		for _, a := range w.node.Addrs() {
			i := len(names)
			name, tries := tt.name+" "+inet.FamilyOf(a).String(), 2
			if !strings.Contains(expected, name) {
				tries = 20
			}
			names = append(names, name)
			all.Go(func() { lost[i] = !arrives(t, tt.from, inet.Addr{IP: a, Port: tt.port, Proto: tt.proto}, tries) })
		}
	}
	all.Wait()
	var out []string
	for i, name := range names {
		if lost[i] {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// arrives dials until there is an answer, at most so many times.
func arrives(t *testing.T, from *lab.Host, at inet.Addr, tries int) bool {
	t.Helper()
	for range tries {
		if strings.Contains(from.Try(t.Context(), at), " saw ") {
			return true
		}
	}
	return false
}

const ufwInput = `
set -e
for t in iptables ip6tables; do
	p=ufw; test $t = iptables || p=ufw6
	$t-nft -P INPUT DROP
	$t-nft -N $p-before-input
	$t-nft -N $p-user-input
	$t-nft -A INPUT -j $p-before-input
	$t-nft -A $p-before-input -i lo -j ACCEPT
	$t-nft -A $p-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	$t-nft -A $p-before-input -m conntrack --ctstate INVALID -j DROP
	$t-nft -A $p-before-input -p icmp -j ACCEPT
	$t-nft -A $p-before-input -p icmpv6 -j ACCEPT
	$t-nft -A INPUT -j $p-user-input
	$t-nft -A $p-user-input -p tcp -m multiport --dports 22,80,443 -j ACCEPT
done
`

const firewalldInput = `
table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_INPUT_ZONES
		reject with icmpx type admin-prohibited
	}
	chain filter_INPUT_ZONES { iifname "eth0" goto filter_IN_public
		goto filter_IN_public
	}
	chain filter_IN_public { jump filter_IN_public_allow
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain filter_IN_public_allow { tcp dport 22 ct state { new, untracked } accept
	}
}
`

const legacyInput = `
set -e
for t in iptables ip6tables; do
	$t-legacy -P INPUT DROP
	$t-legacy -A INPUT -i lo -j ACCEPT
	$t-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	$t-legacy -A INPUT -p icmp -j ACCEPT
	$t-legacy -A INPUT -p icmpv6 -j ACCEPT
	$t-legacy -A INPUT -p udp --dport 8472 -m conntrack --ctstate NEW -j ACCEPT
	$t-legacy -A INPUT -p tcp -m multiport --dports 22,30000:32767 -j ACCEPT
done
`

// hostfw is a firewall at the hook input, with further rules.
func hostfw(rules ...string) string {
	return `table inet hostfw {
	chain input { type filter hook input priority 0; policy drop;
		iif lo accept
		ct state established,related accept
		meta l4proto { icmp, ipv6-icmp } accept
		tcp dport 22 accept
		` + strings.Join(rules, "\n\t\t") + `
	}
}`
}

const both = "tunnel IPv4, tunnel IPv6, health IPv4, health IPv6"

// TestInput checks that reports agree with the fate of packets to the node, and that
// both the reported command and Apply help.
func TestInput(t *testing.T) {
	for _, tt := range []struct {
		name, ruleset string
		drops         string
		want          []string // in the reports
	}{
		{"closed", hostfw(), both + ", nodeport IPv4, nodeport IPv6", []string{
			"chain input in table inet hostfw drops packets to this node (IPv4, IPv6; tunnel packets of other nodes (udp/8472), health checks of load balancers (tcp/30333)) at policy drop; on the node: ",
			"nft insert rule inet hostfw input udp dport 8472 accept comment '\"fairlead: pods\"'",
			"nft insert rule inet hostfw input tcp dport 30333 accept"}},
		{"without state", hostfw("udp dport 8472 accept", "tcp dport 30000-32767 accept"), "", nil},
		{"new packets only", hostfw("ct state new udp dport 8472 accept", "ct state new tcp dport { 22, 30080, 30333 } accept"), "tunnel IPv4, tunnel IPv6", []string{
			"drops packets to this node (IPv4, IPv6; tunnel packets of other nodes (udp/8472)) at policy drop"}},
		{"of nodes only", hostfw("ip saddr 192.168.50.0/24 udp dport 8472 accept", "ip6 saddr fd00:50::/64 udp dport 8472 accept", "tcp dport 30000-32767 accept"), "", nil},
		{"of other nodes", hostfw("ip saddr 192.168.50.77 udp dport 8472 accept", "meta nfproto ipv6 udp dport 8472 accept", "tcp dport 30000-32767 accept"), "tunnel IPv4", []string{
			"(IPv4; tunnel packets of other nodes (udp/8472))"}},
		{"health checks of some only", hostfw("udp dport 8472 accept", "tcp dport 30080 accept", "ip saddr 198.51.100.0/24 tcp dport 30333 accept", "ip6 saddr 2001:db8:100::/64 tcp dport 30333 accept"), "", nil},
		{"raw", `table inet early { chain pre { type filter hook prerouting priority raw - 10; policy accept;
			udp dport 8472 drop
			tcp dport 30080 drop
			}
		}`, "tunnel IPv4, tunnel IPv6, nodeport IPv4, nodeport IPv6", []string{"chain pre in table inet early drops packets to this node (IPv4, IPv6; tunnel packets of other nodes (udp/8472), NodePorts (tcp/30080)) at rule 1 of chain pre"}},
		{"firewalld", firewalldInput, both + ", nodeport IPv4, nodeport IPv6", []string{"chain filter_INPUT in table inet firewalld of firewalld drops packets to this node", "firewall-cmd --permanent --add-port=8472/udp; firewall-cmd --permanent --add-port=30333/tcp"}},
		{"ufw", ufwInput, both + ", nodeport IPv4, nodeport IPv6", []string{"chain INPUT in table ip filter of ufw drops packets to this node (IPv4; ", "ufw allow 8472/udp; ufw allow 30333/tcp", "chain INPUT in table ip6 filter of ufw"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newInputWorld(t)
			if found := w.check(t); len(found) > 0 || w.dropped(t, "") != "" {
				t.Fatalf("before there is anything: %v", found)
			}
			w.run(t, tt.ruleset)
			found := w.check(t)
			all := fmt.Sprint(found)
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("there is no %s in\n%s", want, all)
				}
			}
			if len(tt.want) == 0 && len(found) > 0 {
				t.Errorf("reported: %s", all)
			}
			if got := w.dropped(t, tt.drops); got != tt.drops {
				t.Errorf("dropped %s, want %s", got, tt.drops)
			}
			for range 2 { // the second time changes nothing
				if err := firewall.Apply(w.node.NS.Fd(), w.config, found); err != nil {
					t.Fatal(err)
				}
				if got := w.check(t); len(got) > 0 {
					t.Errorf("after Apply: %v", got)
				}
			}
			w.opens(t, "after Apply", tt.drops)
			if _, err := firewall.Remove(w.node.NS.Fd()); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(w.check(t)); got != all {
				t.Errorf("after Remove %s, want %s", got, all)
			}
		})
	}
}

// opens waits until nothing is dropped.
func (w *inputWorld) opens(t *testing.T, when, before string) {
	t.Helper()
	got := "nothing tried"
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && got != ""; {
		got = w.dropped(t, before)
	}
	if got != "" {
		t.Errorf("%s, still dropped: %s (before: %s)", when, got, before)
	}
}

// TestInputLegacy reports what legacy iptables drops; the command that it names helps.
func TestInputLegacy(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	w.run(t, legacyInput)
	found := w.check(t)
	if len(found) != 2 || found[0].String() != `chain INPUT in table iptables-legacy filter drops packets to this node (IPv4; tunnel packets of other nodes (udp/8472)) at policy drop; on the node: iptables-legacy -I INPUT -p udp --dport 8472 -j ACCEPT -m comment --comment "fairlead: pods"` {
		t.Fatalf("reported: %v", found)
	}
	const drops = "tunnel IPv4, tunnel IPv6"
	if got := w.dropped(t, drops); got != drops {
		t.Errorf("dropped %s", got)
	}
	for _, f := range found {
		w.run(t, strings.Join(f.Remedy, "\n"))
	}
	if got := w.check(t); len(got) > 0 {
		t.Errorf("after the remedy: %v", got)
	}
	w.opens(t, "after the remedy", "")
}

// TestInputRemedy runs the reported commands.
func TestInputRemedy(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	w.run(t, hostfw("tcp dport 30080 accept"))
	for _, f := range w.check(t) {
		w.run(t, "# not iptables\nset -e\n"+strings.Join(f.Remedy, "\n"))
	}
	if got := w.check(t); len(got) > 0 {
		t.Errorf("after the remedy: %v", got)
	}
	w.opens(t, "after the remedy", "")
}

// TestInputIptablesReads checks that iptables lists the rules that Apply writes into its
// tables.
func TestInputIptablesReads(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	w.run(t, ufwInput)
	if err := firewall.Apply(w.node.NS.Fd(), w.config, w.check(t)); err != nil {
		t.Fatal(err)
	}
	w.run(t, `# tables
	set -e
	iptables-nft -S INPUT | grep -q -- '-p udp -m udp --dport 8472 -m comment --comment "fairlead: pods" -j ACCEPT\|-p udp -m udp --dport 8472.*-j ACCEPT'
	ip6tables-nft -S INPUT | grep -q -- '-p tcp -m tcp --dport 30333.*-j ACCEPT'
	`)
}

// TestInputBounded checks the first ports of each use only.
func TestInputBounded(t *testing.T) {
	w := &world{config: firewall.Config{Uplink: "eth0", Self: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	for i := range 10000 {
		w.config.Ports = append(w.config.Ports, firewall.Port{Proto: 6, Number: uint16(20000 + i), Use: firewall.HealthCheck})
	}
	c := labtest.New(t, lab.Config{Nodes: 1})
	w.node, w.client = c.Nodes[0], labtest.Pod(t, c.Nodes[0], "client", 0)
	w.run(t, hostfw())
	found := w.check(t)
	if len(found) != 1 || len(found[0].Flows) != 64 || !strings.Contains(found[0].String(), "and 58 more") {
		t.Errorf("reported: %.300v", found)
	}
}
