// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
	"fairlead/overlay"
	"fairlead/overlay/keeper"
)

const (
	benchConnects = 20       // per turn
	benchBytes    = 16 << 20 // of a stream, per turn
)

// BenchmarkOverlay compares ways from a pod to a pod on another node:
//
//	overlay  package overlay made it, alone
//	hand     the same by the commands of iproute2
//	agent    the agent made it, with its table
//	usual    by hand, with the chains that flannel and kube-proxy have
//
// All take turns, so that whatever else the machine does hits each.
// docs/overlay.md has the numbers:
//
//	go test ./cmd/fairlead -run '^$' -bench Overlay -benchtime 500x
func BenchmarkOverlay(b *testing.B) {
	nstest.Need(b)
	for _, program := range []string{"ip", "bridge", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			nstest.Skip(b, err.Error())
		}
	}
	ways := []*benchWay{overlayWay(b), handWay(b, "hand", ""), agentWay(b), handWay(b, "usual", usualRules)}
	for i, family := range []string{"4", "6"} {
		b.Run("connect"+family, func(b *testing.B) {
			benchTurns(b, ways, i, "conn/s", benchConnects, func(to netip.AddrPort) (time.Duration, error) {
				return nstest.Connects(to, benchConnects)
			})
		})
		b.Run("stream"+family, func(b *testing.B) {
			benchTurns(b, ways, i, "MB/s", benchBytes/1e6, func(to netip.AddrPort) (time.Duration, error) {
				return nstest.Stream(to, benchBytes)
			})
		})
	}
}

// benchWay is a way from a pod to a pod on another node.
type benchWay struct {
	name           string
	client, server *lab.Pod
	took           []float64 // seconds, one per turn
}

// benchTurns has all ways do the work, b.N times, and compares them in
// pairs.
func benchTurns(b *testing.B, ways []*benchWay, family int, unit string, units float64, work func(netip.AddrPort) (time.Duration, error)) {
	b.Helper()
	for _, w := range ways {
		w.took = nil
	}
	for b.Loop() {
		for _, i := range rand.Perm(len(ways)) { // who comes after whom matters
			w := ways[i]
			err := w.client.NS.Do(func() error {
				d, err := work(netip.AddrPortFrom(w.server.Addrs()[family], 80))
				w.took = append(w.took, d.Seconds())
				return err
			})
			if err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
		}
	}
	for _, w := range ways {
		b.ReportMetric(units/undisturbed(w.took), w.name+"-"+unit)
	}
	for i := 0; i+1 < len(ways); i += 2 {
		b.ReportMetric(undisturbed(ways[i+1].took)/undisturbed(ways[i].took), ways[i].name+"/"+ways[i+1].name)
	}
	b.ReportMetric(0, "ns/op")
}

// undisturbed returns the time that a tenth of all turns did not exceed: what it
// takes while nobody else wants the processor.
func undisturbed(took []float64) float64 { return slices.Sorted(slices.Values(took))[len(took)/10] }

func benchCluster() lab.Config { return lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true} }

// newWay makes the pods of a way, and waits until they reach each other.
func newWay(b *testing.B, name string, c *lab.Cluster) *benchWay {
	b.Helper()
	w := &benchWay{name: name, client: labtest.Pod(b, c.Nodes[0], "from", 0), server: labtest.Pod(b, c.Nodes[1], "to", 0)}
	nstest.Sink(b, w.server.NS)
	for _, p := range []*lab.Pod{w.client, w.server} {
		link, err := p.Netlink().LinkByName("eth0")
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Netlink().LinkSetMTU(link, 1430); err != nil {
			b.Fatal(err)
		}
	}
	for _, addr := range w.server.Addrs() {
		eventually(b, name+": a connection", func() error {
			return w.client.NS.Do(func() error {
				_, err := nstest.Connects(netip.AddrPortFrom(addr, 80), 1)
				return err
			})
		})
	}
	return w
}

func agentWay(b *testing.B) *benchWay {
	b.Helper()
	w, err := world.New(b.Context(), worldOf(b, benchCluster()), 2)
	testWorld(b, w, err)
	if err := w.StartAgents(); err != nil {
		b.Fatal(err)
	}
	for _, n := range w.Cluster.Nodes {
		eventually(b, "the overlay of "+n.Name, func() error { return isTunnel(n, "fairlead-v6.1") })
		eventually(b, "the table of "+n.Name, func() error { return hasTable(n) })
	}
	return newWay(b, "agent", w.Cluster)
}

// overlayWay is made by package overlay, in this process.
func overlayWay(b *testing.B) *benchWay {
	b.Helper()
	c := labtest.New(b, benchCluster())
	nodes := make([]overlay.Node, len(c.Nodes))
	for i, n := range c.Nodes {
		nodes[i] = overlay.Node{Name: n.Name, PodCIDRs: n.PodCIDRs, Underlay: n.Addrs()}
	}
	ctx, cancel := context.WithCancel(b.Context())
	var group errgroup.Group
	b.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			b.Error(err)
		}
	})
	for i, n := range c.Nodes {
		k, err := keeper.New(n.NS, keeper.Options{Config: overlay.Config{Mode: overlay.VXLAN, ClusterCIDRs: c.Config.ClusterCIDRs()}})
		if err != nil {
			b.Fatal(err)
		}
		k.Set(nodes[i], []overlay.Node{nodes[1-i]})
		group.Go(func() error { return k.Run(ctx, func(overlay.Report) {}) })
	}
	return newWay(b, "overlay", c)
}

// usualRules are flannel's masquerade, and the base chains of kube-proxy 1.36 in
// nftables mode without what they jump to: for a packet of a connection that
// stands, they are the whole way.
const usualRules = `table inet usual {
	chain empty { }
	chain filter-prerouting-pre-dnat { type filter hook prerouting priority -110; ct state new jump empty; }
	chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump empty; }
	chain filter-input { type filter hook input priority filter; ct state new jump empty; ct state new jump empty; }
	chain filter-forward { type filter hook forward priority filter; ct state new jump empty; ct state new jump empty; }
	chain filter-output { type filter hook output priority filter; ct state new jump empty; ct state new jump empty; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump empty; }
	chain nat-output { type nat hook output priority -100; jump empty; }
	chain nat-postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade fully-random
		ip6 saddr fd00:10:244::/48 ip6 daddr != fd00:10:244::/48 masquerade fully-random
	}
}
`

// handWay is made with ip, bridge and nft.
func handWay(b *testing.B, name, rules string) *benchWay {
	b.Helper()
	c := labtest.New(b, benchCluster())
	for i, n := range c.Nodes {
		commands := byHand(n, c.Nodes[1-i])
		commands["nft"] = rules
		for _, program := range []string{"ip", "bridge", "nft"} {
			flag := "-batch"
			if program == "nft" {
				flag = "-f"
			}
			cmd := nstest.Command(b, n.NS, program, flag, "-")
			cmd.Stdin, cmd.Stderr = strings.NewReader(commands[program]), os.Stderr
			if err := cmd.Run(); err != nil {
				b.Fatalf("%s on %s: %v:\n%s", program, n.Name, err, commands[program])
			}
		}
	}
	return newWay(b, name, c)
}

// byHand returns what a person would type on node n for the pods of a peer.
func byHand(n, peer *lab.Node) map[string]string {
	mac := func(n *lab.Node, family int) string { return fmt.Sprintf("02:00:00:00:%02x:%02x", family, n.Number) }
	var ip, bridge strings.Builder
	for i, local := range n.Addrs() {
		dev := []string{"hand4", "hand6"}[i]
		gateway := []string{peer.PodCIDRs[0].Addr().String(), fmt.Sprintf("fe80::%x", peer.Number)}[i]
		fmt.Fprintf(&ip, `link add %[1]s address %[2]s mtu %[3]d type vxlan id 1 local %[4]s dstport 8472 nolearning
link set %[1]s addrgenmode none
link set %[1]s up
address add %[5]s/%[6]d dev %[1]s
neighbour add %[7]s lladdr %[8]s dev %[1]s nud permanent
route add %[9]s via %[7]s dev %[1]s onlink
`, dev, mac(n, i), []int{1450, 1430}[i], local, n.PodCIDRs[i].Addr(), local.BitLen(), gateway, mac(peer, i), peer.PodCIDRs[i])
		fmt.Fprintf(&bridge, "fdb add %s dev %s dst %s permanent\n", mac(peer, i), dev, peer.Addrs()[i])
	}
	return map[string]string{"ip": ip.String(), "bridge": bridge.String()}
}
