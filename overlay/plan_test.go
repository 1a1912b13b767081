// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/inet"

	"github.com/google/go-cmp/cmp"
)

// wire is the underlay of node 1: a card in the nodes' subnets.
func wire(mtu int) Underlay {
	return Underlay{Links: []Link{
		{Name: "lo", MTU: 65536, Up: true, Loopback: true, Addrs: prefixes("127.0.0.1/8")},
		{Name: uplink, MTU: mtu, Up: true, Addrs: prefixes("192.168.50.1/24", "fd00:50::1/64"), Default: [2]bool{true, true}},
	}}
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, s := range s {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(s ...string) (out []netip.Addr) {
	for _, s := range s {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestPlan compares whole plans, as text, with what they should be.
func TestPlan(t *testing.T) {
	four := func(i int) Node {
		n := node(i)
		n.PodCIDRs, n.Underlay = n.PodCIDRs[:1], n.Underlay[:1]
		n.VTEPs = [2]MAC{{2, 4, 0, 0, 0, byte(i)}, {2, 6, 0, 0, 0, byte(i)}}
		return n
	}
	far := four(3)
	far.Underlay = addrs("192.168.77.3")
	six := four(2)
	six.Underlay = addrs("fd00:50::2")
	both := four(1)
	both.Underlay = node(1).Underlay
	const device4 = "ip link add fairlead.1 address 02:04:00:00:00:01 mtu 1450 type vxlan id 1 dstport 8472 local 192.168.50.1 nolearning\n" +
		"ip link set fairlead.1 addrgenmode none\nip link set fairlead.1 alias fairlead up\n"
	const device6 = "ip link add fairlead-v6.1 address 02:06:00:00:00:01 mtu 1430 type vxlan id 1 dstport 8472 local fd00:50::1 nolearning\n" +
		"ip link set fairlead-v6.1 addrgenmode none\nip link set fairlead-v6.1 alias fairlead up\n"
	for _, tt := range []struct {
		name  string
		cfg   Config
		self  Node
		peers []Node
		want  string
	}{{
		name: "alone", self: four(1),
		want: device4 + "ip address add 10.128.1.0/32 dev fairlead.1\n",
	}, {
		name: "VXLAN", self: four(1), peers: []Node{far, four(2)},
		want: device4 + `ip address add 10.128.1.0/32 dev fairlead.1
bridge fdb add 02:04:00:00:00:02 dev fairlead.1 dst 192.168.50.2 self permanent
bridge fdb add 02:04:00:00:00:03 dev fairlead.1 dst 192.168.77.3 self permanent
ip neighbour add 10.128.2.0 lladdr 02:04:00:00:00:02 dev fairlead.1 nud permanent
ip neighbour add 10.128.3.0 lladdr 02:04:00:00:00:03 dev fairlead.1 nud permanent
ip route add 10.128.2.0/24 via 10.128.2.0 dev fairlead.1 onlink proto 102
ip route add 10.128.3.0/24 via 10.128.3.0 dev fairlead.1 onlink proto 102
`,
	}, {
		name: "direct in the subnet", cfg: Config{Mode: Direct}, self: four(1), peers: []Node{four(2), far},
		want: device4 + `ip address add 10.128.1.0/32 dev fairlead.1
bridge fdb add 02:04:00:00:00:03 dev fairlead.1 dst 192.168.77.3 self permanent
ip neighbour add 10.128.3.0 lladdr 02:04:00:00:00:03 dev fairlead.1 nud permanent
ip route add 10.128.2.0/24 via 192.168.50.2 dev eth0 proto 102
ip route add 10.128.3.0/24 via 10.128.3.0 dev fairlead.1 onlink proto 102
`,
	}, {
		name: "host-gw", cfg: Config{Mode: HostGateway, Protocol: 200}, self: four(1), peers: []Node{four(2), far},
		want: "ip route add 10.128.2.0/24 via 192.168.50.2 dev eth0 proto 200\n",
	}, {
		name: "a peer that has IPv6 only", self: both, peers: []Node{six},
		want: device4 + device6 + `ip address add 10.128.1.0/32 dev fairlead-v6.1
ip address add 10.128.1.0/32 dev fairlead.1
bridge fdb add 02:06:00:00:00:02 dev fairlead-v6.1 dst fd00:50::2 self permanent
ip neighbour add 10.128.2.0 lladdr 02:06:00:00:00:02 dev fairlead-v6.1 nud permanent
ip route add 10.128.2.0/24 via 10.128.2.0 dev fairlead-v6.1 onlink proto 102
`,
	}, {
		name: "none", cfg: Config{Mode: None}, self: four(1), peers: []Node{four(2)},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := NewPlan(tt.cfg, wire(1500), tt.self, tt.peers)
			if diff := cmp.Diff(tt.want, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProblems changes one thing about a cluster of three, and expects it to be
// named, and the rest to work.
func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    Config
		mtu    int
		change func(nodes []Node)
		want   []string
		routes int // of 4
		waits  bool
	}{
		{name: "nothing", routes: 4},
		{name: "no pod CIDR", change: func(n []Node) { n[1].PodCIDRs = nil }, want: []string{
			"node node-2: podCIDRs: the node has none yet",
		}, routes: 2},
		{name: "no pod CIDR here", change: func(n []Node) { n[0].PodCIDRs = nil }, want: []string{
			"node node-1: podCIDRs: this node has none yet, so its overlay waits",
		}, waits: true},
		{name: "no address", change: func(n []Node) { n[1].Underlay = nil }, want: []string{
			"node node-2: underlay: 10.128.2.0/24 is not reached: no address of a family that this node has, too",
			"node node-2: underlay: fd00:10:244:2::/64 is not reached: no address of a family that this node has, too",
		}, routes: 2},
		{name: "another address of this node", cfg: Config{Mode: Direct}, change: func(n []Node) {
			n[0].Underlay, n[1].Underlay = addrs("192.168.50.1", "192.168.50.7", "fd00:50::1"), addrs("192.168.50.7", "fd00:50::2")
		}, want: []string{
			"node node-2: underlay: 192.168.50.7 is this node's own address",
		}, routes: 3},
		{name: "another address of this node, without a tunnel", cfg: Config{Mode: HostGateway}, change: func(n []Node) {
			n[0].Underlay, n[1].Underlay = addrs("192.168.50.1", "192.168.50.7", "fd00:50::1"), addrs("192.168.50.7", "fd00:50::2")
		}, want: []string{
			"node node-2: underlay: 192.168.50.7 is this node's own address",
		}, routes: 3},
		{name: "no address here", change: func(n []Node) { n[0].Underlay = nil }, want: []string{
			"node node-1: underlay: this node has no address yet, so its overlay waits",
		}, waits: true},
		{name: "no address of a family", cfg: Config{Mode: HostGateway}, change: func(n []Node) { n[1].Underlay = n[1].Underlay[1:] }, want: []string{
			"node node-2: underlay: 10.128.2.0/24 is not reached: host-gw needs an IPv4 address in a subnet of this node",
		}, routes: 3},
		{name: "the same pod CIDR", change: func(n []Node) { n[1].PodCIDRs = n[2].PodCIDRs }, want: []string{
			"node node-2: podCIDRs: 10.128.3.0/24 overlaps that of node node-3, which is newer and gets it",
			"node node-2: podCIDRs: fd00:10:244:3::/64 overlaps that of node node-3, which is newer and gets it",
		}, routes: 2},
		{name: "a pod CIDR inside", change: func(n []Node) { n[1].PodCIDRs[0] = netip.MustParsePrefix("10.128.3.128/25") }, want: []string{
			"node node-2: podCIDRs: 10.128.3.128/25 overlaps that of node node-3, which is newer and gets it",
		}, routes: 3},
		{name: "a pod CIDR around", change: func(n []Node) { n[1].PodCIDRs[0] = netip.MustParsePrefix("10.128.2.0/23") }, want: []string{
			"node node-2: podCIDRs: 10.128.2.0/23 overlaps that of node node-3, which is newer and gets it",
		}, routes: 3},
		{name: "the pod CIDR of this node", change: func(n []Node) { n[2].PodCIDRs[0] = n[0].PodCIDRs[0] }, want: []string{
			"node node-3: podCIDRs: 10.128.1.0/24 overlaps that of this node, node-1, which keeps it",
		}, routes: 3},
		{name: "two of a family", change: func(n []Node) { n[1].PodCIDRs[1] = netip.MustParsePrefix("10.128.9.0/24") }, want: []string{
			"node node-2: podCIDRs: 10.128.9.0/24 is not used: the node has another IPv4 range",
		}, routes: 3},
		{name: "outside", cfg: Config{ClusterCIDRs: prefixes("10.128.0.0/16")}, change: func(n []Node) { n[1].PodCIDRs[0] = netip.MustParsePrefix("10.99.0.0/24") }, want: []string{
			"node node-2: podCIDRs: 10.99.0.0/24 is outside of the cluster CIDR",
		}, routes: 3},
		{name: "this node is outside", cfg: Config{ClusterCIDRs: prefixes("10.99.0.0/16", "fd01::/64")}, change: func(n []Node) { n[1].PodCIDRs, n[2].PodCIDRs = nil, nil }, want: []string{
			"node node-1: podCIDRs: 10.128.1.0/24 is outside of the cluster CIDR",
			"node node-1: podCIDRs: fd00:10:244:1::/64 is outside of the cluster CIDR",
		}, waits: true},
		{name: "a pod CIDR with nodes in it", change: func(n []Node) { n[1].PodCIDRs[0] = netip.MustParsePrefix("192.168.0.0/16") }, want: []string{
			"node node-2: podCIDRs: 192.168.0.0/16 contains node address 192.168.50.1",
		}, routes: 3},
		{name: "overlapping ranges", cfg: Config{ClusterCIDRs: prefixes("10.128.0.0/9", "fd00:10:244::/48"), ServiceCIDRs: prefixes("10.200.0.0/16")}, want: []string{
			"clusterCIDRs: 10.128.0.0/9 overlaps service CIDR 10.200.0.0/16",
		}, routes: 4},
		{name: "our address", change: func(n []Node) { n[1].Underlay[0] = n[0].Underlay[0] }, want: []string{
			"node node-2: underlay: 192.168.50.1 is this node's own address",
		}, routes: 3},
		{name: "the same MAC", change: func(n []Node) { n[1].VTEPs[0], n[2].VTEPs[0] = MAC{2, 1}, MAC{2, 1} }, want: []string{
			"node node-2: VTEP MAC: 02:01:00:00:00:00 is also that of the node with address 192.168.50.3",
		}, routes: 3},
		{name: "our MAC", change: func(n []Node) { n[1].VTEPs[0] = deriveMAC("node-1", inet.IPv4) }, want: []string{
			"node node-2: VTEP MAC: " + deriveMAC("node-1", inet.IPv4).String() + " is this node's own, or none that a node can have",
		}, routes: 3},
		{name: "small MTU", mtu: 1300, want: []string{
			"node node-1: MTU: 1230 on packets from fd00:50::1 is less than the 1280 that IPv6 needs: IPv6 pods are not reached that way",
			"node node-1: MTU: 1250 on packets from 192.168.50.1 is less than the 1280 that IPv6 needs: IPv6 pods are not reached that way",
		}, routes: 2},
		{name: "large MTU", cfg: Config{MTU: 1500}, want: []string{
			"node node-1: MTU: 1500 is more than the 1430 that fit into packets from fd00:50::1",
			"node node-1: MTU: 1500 is more than the 1450 that fit into packets from 192.168.50.1",
		}, routes: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster := nodes(1, 3)
			if tt.change != nil {
				tt.change(cluster)
			}
			if tt.mtu == 0 {
				tt.mtu = 1500
			}
			p, problems := NewPlan(tt.cfg, wire(tt.mtu), cluster[0], cluster[1:])
			var got []string
			for _, problem := range problems {
				got = append(got, problem.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if routes := strings.Count(p.String(), "ip route add"); routes != tt.routes || p.Waits != tt.waits {
				t.Errorf("%d routes, waits %v; want %d, %v:\n%s", routes, p.Waits, tt.routes, tt.waits, p)
			}
			rand.Shuffle(2, func(i, j int) { cluster[i+1], cluster[j+1] = cluster[j+1], cluster[i+1] })
			slices.Reverse(cluster[1:])
			again, _ := NewPlan(tt.cfg, wire(tt.mtu), cluster[0], cluster[1:])
			if diff := cmp.Diff(p.String(), again.String()); diff != "" {
				t.Errorf("the order of peers matters:\n%s", diff)
			}
		})
	}
}

// TestMTU takes it from where packets leave.
func TestMTU(t *testing.T) {
	card := func(name string, mtu int, def bool, a ...string) Link {
		return Link{Name: name, MTU: mtu, Up: true, Addrs: prefixes(a...), Default: [2]bool{def, def}, Loopback: name == "lo"}
	}
	for _, tt := range []struct {
		name  string
		cfg   Config
		links []Link
		want  int
	}{
		{"of the card with the address", Config{}, []Link{card("eth1", 1500, true), card("eth0", 9000, false, "192.168.50.1/24")}, 8950},
		{"of the default route, if the address is on loopback", Config{}, []Link{card("lo", 65536, false, "192.168.50.1/32"), card("eth0", 1400, true)}, 1350},
		{"of the default route, if the address is nowhere", Config{}, []Link{card("eth1", 9000, false, "10.0.0.1/8"), card("eth0", 1400, true)}, 1350},
		{"guessed", Config{}, nil, 1450},
		{"as configured", Config{MTU: 1234}, []Link{card("eth0", 9000, false, "192.168.50.1/24")}, 1234},
		{"without a tunnel", Config{Mode: HostGateway}, []Link{card("eth0", 9000, false, "192.168.50.1/24")}, 9000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			self := Node{Name: "node-1", PodCIDRs: prefixes("10.128.1.0/24"), Underlay: addrs("192.168.50.1")}
			p, _ := NewPlan(tt.cfg, Underlay{Links: tt.links}, self, nil)
			if p.MTU != tt.want {
				t.Errorf("MTU %d, want %d", p.MTU, tt.want)
			}
		})
	}
}

// TestTunnel is about what the packet filter gets.
func TestTunnel(t *testing.T) {
	p, _ := NewPlan(Config{Port: 4789}, wire(1500), node(1), nodes(2, 3))
	want := Tunnel{Port: 4789, Own: addrs("192.168.50.1", "fd00:50::1"), Nodes: 6}
	if diff := cmp.Diff(want, p.Tunnel, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("tunnel (-want +got):\n%s", diff)
	}
}

// TestMAC pins the derivation: nodes with different releases must agree.
func TestMAC(t *testing.T) {
	if got := deriveMAC("node-1", inet.IPv4).String() + " " + deriveMAC("node-1", inet.IPv6).String(); got != "16:aa:87:ac:dd:c9 3e:31:15:30:1f:dc" {
		t.Errorf("MACs of node-1: %s", got)
	}
	for i := range 1000 {
		m := deriveMAC(node(i).Name, inet.IPv4)
		if !m.unicast() || m[0]&2 == 0 {
			t.Fatalf("%s is not unicast and locally administered", m)
		}
	}
}

// TestDiff follows a peer that moves: nothing of its former self stays.
func TestDiff(t *testing.T) {
	plan := func(peers ...Node) Entries {
		p, _ := NewPlan(Config{}, wire(1500), node(1), peers)
		return p.Entries
	}
	four := func(n Node) Node { n.PodCIDRs = n.PodCIDRs[:1]; n.VTEPs[0] = MAC{2}; return n }
	changed := func(f func(*Node)) Node { n := four(node(2)); f(&n); return n }
	for _, tt := range []struct {
		name       string
		have, want Entries
		steps      string
	}{
		{"nothing", plan(four(node(2))), plan(four(node(2))), ""},
		{"comes", plan(), plan(four(node(2))), `
bridge fdb add 02:00:00:00:00:00 dev fairlead.1 dst 192.168.50.2 self permanent
ip neighbour add 10.128.2.0 lladdr 02:00:00:00:00:00 dev fairlead.1 nud permanent
ip route add 10.128.2.0/24 via 10.128.2.0 dev fairlead.1 onlink`},
		{"goes", plan(four(node(2))), plan(), `
ip route delete 10.128.2.0/24 via 10.128.2.0 dev fairlead.1 onlink
ip neighbour delete 10.128.2.0 lladdr 02:00:00:00:00:00 dev fairlead.1 nud permanent
bridge fdb delete 02:00:00:00:00:00 dev fairlead.1 dst 192.168.50.2 self permanent`},
		{"MAC", plan(four(node(2))), plan(changed(func(n *Node) { n.VTEPs[0] = MAC{6} })), `
bridge fdb add 06:00:00:00:00:00 dev fairlead.1 dst 192.168.50.2 self permanent
ip neighbour replace 10.128.2.0 lladdr 06:00:00:00:00:00 dev fairlead.1 nud permanent
bridge fdb delete 02:00:00:00:00:00 dev fairlead.1 dst 192.168.50.2 self permanent`},
		{"address", plan(four(node(2))), plan(changed(func(n *Node) { n.Underlay = addrs("192.168.50.9") })), `
bridge fdb replace 02:00:00:00:00:00 dev fairlead.1 dst 192.168.50.9 self permanent`},
		{"pod CIDR", plan(four(node(2))), plan(changed(func(n *Node) { n.PodCIDRs = prefixes("10.128.9.0/24") })), `
ip neighbour add 10.128.9.0 lladdr 02:00:00:00:00:00 dev fairlead.1 nud permanent
ip route add 10.128.9.0/24 via 10.128.9.0 dev fairlead.1 onlink
ip route delete 10.128.2.0/24 via 10.128.2.0 dev fairlead.1 onlink
ip neighbour delete 10.128.2.0 lladdr 02:00:00:00:00:00 dev fairlead.1 nud permanent`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for _, s := range Diff(tt.have, tt.want) {
				got += "\n" + s.String()
			}
			if diff := cmp.Diff(tt.steps, got); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// TestValidate names each field that is wrong.
func TestValidate(t *testing.T) {
	err := Config{Mode: 9, VNI: 1 << 24, Device4: "a b", Device6: "a b", MTU: 10, Protocol: 2}.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 7 {
		t.Errorf("got %v", err)
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	for m := VXLAN; m <= None; m++ {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("ParseMode(%s) = %v, %v", m, got, err)
		}
	}
}
