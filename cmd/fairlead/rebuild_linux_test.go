// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead/cmd/fairlead-lab/rebuild"
	"fairlead/cmd/fairlead-lab/rebuild/plan"
	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/cni"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/nat/listing"
)

// fault is something that is broken on the first node, and what undoes it.
type fault struct {
	name     string
	breakIt  []string // commands on the node
	dial     string   // what the pod client meets outcome at
	outcome  string
	explains string   // in what fairlead explain says of the Service web
	fix      []string // commands on the rebuilt node; nil starts the agent there
}

func faults() []fault {
	return []fault{{
		name: "rule of another program", breakIt: []string{"nft insert rule inet fairlead services ip saddr 10.244.0.0/16 drop"},
		dial: "10.96.0.10:80", outcome: "timeout", explains: "[differs]",
	}, {
		name: "element of the table is gone", breakIt: []string{"nft delete element inet fairlead vips4 { 10.96.0.10 . tcp . 80 }"},
		dial: "10.96.0.10:80", outcome: "refused", explains: "[differs]",
	}, {
		name: "backend of another program", dial: "10.96.0.10:80", outcome: "unreachable", explains: "[differs]",
		breakIt: []string{
			"nft delete element inet fairlead backends4 { 10.96.0.10 . tcp . 80 . 0, 10.96.0.10 . tcp . 80 . 1 }",
			"nft add element inet fairlead backends4 { 10.96.0.10 . tcp . 80 . 0 : 10.244.1.99 . 8080, 10.96.0.10 . tcp . 80 . 1 : 10.244.1.98 . 8080 }",
		},
	}, {
		name: "the kernel does not forward", breakIt: []string{"sysctl -qw net.ipv4.ip_forward=0"},
		dial: "10.96.0.10:80", outcome: "timeout", explains: "net/ipv4/ip_forward is 0", fix: []string{"sysctl -qw net.ipv4.ip_forward=1"},
	}, {
		name: "no route to the pods", breakIt: []string{"ip -6 route del fd00:10:244:1::3 dev veth3", "ip -6 route del fd00:10:244:1::4 dev veth4"},
		dial: "[fd00:10:96::a]:80", outcome: "unreachable", explains: "fd00:10:244:1::", fix: []string{"ip -6 route add fd00:10:244:1::3 dev veth3", "ip -6 route add fd00:10:244:1::4 dev veth4"},
	}}
}

// TestRebuild breaks a node, takes a bundle, and rebuilds the node from it: the same
// connection fails in the same way, fairlead explain says the same of the rebuilt node as
// of the bundle, and what undoes the fault works there.
func TestRebuild(t *testing.T) {
	nstest.Need(t)
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			w, file := bundleOf(t, lab.PTP, f.breakIt)
			at := netip.MustParseAddrPort(f.dial)
			meets(t, "on the broken node", w.Client.Host, at, f.outcome)
			node, client := rebuilt(t, file, "10.244.1.2")
			meets(t, "on the rebuilt node", client, at, f.outcome)
			flags := rebuiltFlags(t, node)
			saved, err := execute(t, "explain", "default/web", "--bundle", file)
			if err != nil || !strings.Contains(saved, f.explains) {
				t.Errorf("explain of the bundle: %v, want %q in\n%s", err, f.explains, saved)
			}
			if live, err := onHost(t, node.Host, append([]string{"explain", "default/web"}, flags...)...); err != nil || live != saved {
				t.Errorf("explain of the rebuilt node: %v (-bundle +rebuilt)\n%s", err, gocmp.Diff(saved, live))
			}
			if f.fix == nil {
				startOn(t, node.Host, flags)
			}
			commands(t, node.Host, f.fix)
			eventually(t, "the fixed node serves", func() error {
				if got := outcome(t, client, at); !strings.HasPrefix(got, "default/web-") && !strings.HasPrefix(got, "10.244.1.") {
					return fmt.Errorf("%s meets %q", f.dial, got)
				}
				return nil
			})
		})
	}
}

// TestRebuildRoundTrip compares a bundle of the rebuilt node with the bundle that it was
// made of, part by part.
func TestRebuildRoundTrip(t *testing.T) {
	nstest.Need(t)
	for _, link := range []lab.PodLink{lab.PTP, lab.Bridge} {
		_, file := bundleOf(t, link, []string{
			"nft add rule inet fairlead services tcp dport 9 counter log prefix strange drop", "nft add chain inet fairlead stranger",
			"nft add rule inet fairlead stranger meta mark 7 return", "nft delete element inet fairlead vips6 { fd00:10:96::a . tcp . 80 }",
			"ip route add blackhole 203.0.113.0/24 table 77", "ip rule add from 10.9.0.0/16 lookup 77 priority 99", "ip link set fairlead.1 mtu 1300",
		})
		node, _ := rebuilt(t, file, "10.244.1.2")
		again := filepath.Join(t.TempDir(), "again.tar.gz")
		if out, err := onHost(t, node.Host, append([]string{"bundle", "-o", again}, rebuiltFlags(t, node)...)...); err != nil {
			t.Fatalf("bundle of the rebuilt node: %v\n%s", err, out)
		}
		was, is := bundled(t, file), bundled(t, again)
		if diff := gocmp.Diff(was, is, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("link %d (-bundle +rebuilt):\n%s", link, diff)
		}
		if !strings.Contains(was.Table, "stranger") || len(was.Neighbours) == 0 || len(was.Rules) < 6 || len(node.Pods) != 3 {
			t.Errorf("the bundle has too little to compare: %+v", was)
		}
		for _, s := range node.LeftOut {
			if _, err := os.Stat(cni.DefaultDir); err != nil && strings.Contains(s, "cni.json") {
				continue // this machine has no container runtime
			}
			t.Errorf("left out: %s", s)
		}
	}
}

// bundleOf makes two nodes with two backends and a client on the first one, stops the
// agents, breaks the first node and takes a bundle of it.
func bundleOf(t *testing.T, link lab.PodLink, breakIt []string) (*world.World, string) {
	t.Helper()
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, PodLink: link}), 0)
	testWorld(t, w, err)
	node := w.Cluster.Nodes[0]
	for _, name := range []string{"web-1", "web-2"} {
		e, err := world.AddPodOn(node, name)
		if err != nil {
			t.Fatal(err)
		}
		w.Web.Endpoints = append(w.Web.Endpoints, e)
	}
	if err := w.Write(w.Web); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the overlay", func() error {
		out, err := nstest.Command(t, node.NS, "bridge", "fdb", "show", "dev", "fairlead.1").CombinedOutput()
		if err == nil && !strings.Contains(string(out), "192.168.50.2") {
			err = fmt.Errorf("the tunnel has %s", out)
		}
		return err
	})
	for _, a := range w.Agents {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, vip := range w.Web.ClusterIPs { // the node learns where the client is
		meets(t, "before the node is broken", w.Client.Host, netip.AddrPortFrom(vip, 80), "web-")
	}
	commands(t, node.Host, breakIt)
	file := filepath.Join(t.TempDir(), "node.tar.gz")
	if out, err := onHost(t, node.Host, append([]string{"bundle", "-o", file}, agentFlags(w, node)...)...); err != nil {
		t.Fatalf("bundle: %v\n%s", err, out)
	}
	return w, file
}

// agentFlags are the flags of a node's agent that commands take.
func agentFlags(w *world.World, node *lab.Node) []string {
	flags := w.AgentFlags(node)
	at := slices.Index(flags, "--metrics-bind-address")
	return slices.Delete(flags, at, at+2)
}

// rebuilt rebuilds a node, and returns its pod that has an address.
func rebuilt(t *testing.T, file, addr string) (*rebuild.Node, *lab.Host) {
	t.Helper()
	node, err := rebuild.New(t.Context(), file, plan.Limits{Pods: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range node.Pods {
		if p.Addr4 == netip.MustParseAddr(addr) {
			return node, p.Host
		}
	}
	t.Fatalf("no pod has address %s: %+v", addr, node.Pods)
	return nil, nil
}

// rebuiltFlags writes the objects of a bundle, and returns the flags to read them with.
func rebuiltFlags(t *testing.T, node *rebuild.Node) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.json")
	text, err := node.Bundle.Objects.MarshalJSON()
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rebuild.Flags(&node.Bundle.Config, file, t.TempDir())
}

func onHost(t *testing.T, h *lab.Host, args ...string) (string, error) {
	t.Helper()
	return onNode(t, &lab.Node{Host: h}, args...)
}

// startOn runs an agent on a host until the test ends.
func startOn(t *testing.T, h *lab.Host, flags []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"run", "--metrics-bind-address", "", "--healthz-bind-address", ""}, flags...)...)
	cmd.Args[0] = "fairlead"
	if _, err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
}

// commands runs commands of the system on a host.
func commands(t *testing.T, h *lab.Host, list []string) {
	t.Helper()
	for _, c := range list {
		words := strings.Fields(c)
		if out, err := nstest.Command(t, h.NS, words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
}

// meets dials until the outcome contains want: on a busy machine any outcome may be a timeout.
func meets(t *testing.T, when string, from *lab.Host, at netip.AddrPort, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s, %s meets %q", when, at, want), func() error {
		if got := outcome(t, from, at); !strings.Contains(got, want) {
			return errors.New(got)
		}
		return nil
	})
}

func outcome(t *testing.T, from *lab.Host, at netip.AddrPort) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return from.Try(ctx, inet.Addr{IP: at.Addr(), Port: at.Port(), Proto: inet.TCP})
}

// bundledParts is what a rebuilt node must have in common with the node.
type bundledParts struct {
	Config     view.Config
	Table      string
	Links      map[string]view.Link
	Routes     []string
	Rules      []view.Rule
	Neighbours []view.Neighbour
	Sysctls    map[string]string
}

func bundled(t *testing.T, file string) (p bundledParts) {
	t.Helper()
	n, err := inspect.OpenBundle(file)
	if err != nil {
		t.Fatal(err)
	}
	config, err1 := n.Config(t.Context())
	table, err2 := n.Table(t.Context())
	network, err3 := n.Network(t.Context())
	sysctls, err4 := n.Sysctls(t.Context())
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	p.Config, p.Table, p.Links = *config, table.Text(listing.Options{Full: true}), map[string]view.Link{}
	p.Config.CNIConfDir, p.Config.Source = "", ""
	for i := range network.Links {
		l := network.Links[i]
		l.Index = 0
		if l.Name == "lo" || l.Kind == "veth" && l.Master != "" {
			l.MAC = "" // of ports: the bundle has it, and so has the rebuilt node
		}
		l.Addrs = slices.SortedFunc(slices.Values(l.Addrs), netip.Prefix.Compare)
		p.Links[l.Name] = l
	}
	for _, r := range network.Routes {
		p.Routes = append(p.Routes, fmt.Sprintf("%+v", r))
	}
	slices.Sort(p.Routes)
	p.Rules = network.Rules
	for _, nb := range network.Neighbours {
		if nb.State == "permanent" && nb.IP.IsValid() {
			p.Neighbours = append(p.Neighbours, nb)
		}
	}
	slices.SortFunc(p.Neighbours, func(a, b view.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.IP.Compare(b.IP), cmp.Compare(a.MAC, b.MAC))
	})
	p.Sysctls = sysctls
	delete(p.Sysctls, "net/netfilter/nf_conntrack_count")
	return p
}
