// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// world returns a cluster of n nodes with both IP versions.
func world(n int) *World {
	w := &World{Namespace: "ns", HostPort: 18471, PodHostPort: 18472, Names: true, Egress: []string{"example.com:443"}}
	for i := 1; i <= n; i++ {
		w.Nodes = append(w.Nodes, Node{
			Name:  fmt.Sprintf("node-%d", i),
			Addrs: []netip.Addr{addr("192.168.0.%d", i), addr("fd00::%d", i)},
			Pod:   []netip.Addr{addr("10.244.%d.2", i), addr("fd00:1::%d", i)},
		})
	}
	w.Services = Services([]netip.Addr{addr("192.0.2.%d", 1), addr("2001:db8::%d", 1)}, []netip.Addr{addr("192.0.2.%d", 2)})
	for i := range w.Services {
		if s := &w.Services[i]; s.Kind != Headless {
			s.ClusterIPs = []netip.Addr{addr("10.96.0.%d", i), addr("fd00:96::%d", i)}
			s.NodePort = 30000 + uint16(i)
		}
	}
	return w
}

func addr(format string, n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, n)) }

func clients(w *World) (out []Client) {
	for _, n := range w.Nodes {
		out = append(out, Client{Node: n.Name}, Client{Node: n.Name, Host: true})
	}
	return append(out, Client{})
}

// TestChecks: each kind of Service is tried from each place where it can work, in each IP
// version that it has, and only there.
func TestChecks(t *testing.T) {
	w := world(3)
	tried := map[string]int{}
	for _, c := range clients(w) {
		for _, check := range w.Checks(c) {
			version := "4"
			if strings.HasPrefix(check.Target, "[") {
				version = "6"
			}
			place := map[bool]string{true: "host", false: "pod"}[c.Host]
			if c.Node == "" {
				place = "outside"
			}
			tried[fmt.Sprintf("%s %s %s%s", check.Kind, place, check.Proto, version)]++
			if check.Want.String() == "" || check.Target == "" || check.Skip != "" {
				t.Errorf("an incomplete check: %+v", check)
			}
		}
	}
	for what, n := range map[string]int{
		"pod pod tcp4": 9, "pod pod udp6": 9, "pod host tcp4": 9, "pod host udp6": 9, "pod outside tcp4": 0,
		"node pod tcp4": 9, "node host tcp6": 9, "node outside tcp4": 3,
		"ClusterIP pod tcp4": 3, "ClusterIP host udp6": 3, "ClusterIP outside tcp4": 0,
		"NodePort pod tcp4": 9, "NodePort host udp6": 9, "NodePort outside tcp4": 3,
		// Of two Services, at two other nodes.
		"externalTrafficPolicy Local host tcp4": 12, "externalTrafficPolicy Local pod tcp4": 0, "externalTrafficPolicy Local outside tcp6": 6,
		"externalTrafficPolicy Local host udp4": 6,
		"internalTrafficPolicy Local pod tcp4":  6, "internalTrafficPolicy Local host tcp6": 6, // of two Services
		"hostPort pod tcp4": 9, "hostPort host udp6": 9, "hostPort outside udp4": 3, "hostPort pod udp6": 9,
		"externalIPs pod tcp4": 3, "externalIPs host tcp6": 3, "externalIPs outside tcp4": 1,
		"LoadBalancer pod tcp4": 3, "LoadBalancer pod tcp6": 0,
		"LoadBalancer Local pod tcp4": 3, "LoadBalancer Local host tcp4": 3, "LoadBalancer Local outside tcp4": 1,
		"loadBalancerSourceRanges pod tcp4": 3, "loadBalancerSourceRanges host tcp4": 3, "loadBalancerSourceRanges outside tcp4": 1,
		"session affinity host tcp4": 3, "hairpin pod tcp6": 3, "hairpin host tcp4": 0,
		"headless pod udp4": 3, "headless host tcp4": 3, "DNS pod tcp4": 3, "DNS host udp4": 3, "DNS outside udp4": 0,
		"egress pod tcp4": 3, "egress host tcp4": 0,
	} {
		if tried[what] != n {
			t.Errorf("%s is tried %d times, want %d", what, tried[what], n)
		}
	}
}

// TestWants: policies name the servers that may answer.
func TestWants(t *testing.T) {
	w := world(3)
	for _, tt := range []struct {
		c            Client
		kind         Kind
		target, want string
	}{
		{Client{Node: "node-2"}, Pod, "10.244.3.2:8080", "an answer of pod on node-3, which sees the client's own address"},
		{Client{Node: "node-2", Host: true}, Pod, "10.244.3.2:8080", "an answer of pod on node-3"},
		{Client{Node: "node-2"}, InternalLocal, "10.96.0.6:80", "an answer of pod on node-2"},
		{Client{Node: "node-1"}, InternalLocal, "10.96.0.13:80", "an answer of pod on node-1"},
		{Client{Node: "node-2"}, InternalLocal, "10.96.0.13:80", "no answer"},
		{Client{Node: "node-2"}, HostPort, "192.168.0.2:18472", "an answer of pod on node-2"},
		{Client{}, HostPort, "192.168.0.3:18472", "an answer of pod on node-3"},
		{Client{Node: "node-2"}, Hairpin, "10.96.0.10:80", "an answer of client on node-2"},
		{Client{Node: "node-2", Host: true}, ExternalLocal, "192.168.0.3:30004", "an answer of pod on node-3, which sees the client's own address"},
		{Client{Node: "node-2", Host: true}, ExternalLocal, "192.168.0.3:30005", "no answer"},
		{Client{Node: "node-2", Host: true}, ExternalLocal, "192.168.0.1:30005", "an answer of pod on node-1, which sees the client's own address"},
		{Client{Node: "node-2"}, BalancerLocal, "192.0.2.3:80", "an answer of pod on node-1 or pod on node-2 or pod on node-3"},
		{Client{}, BalancerLocal, "192.0.2.3:80", "an answer of pod on node-1, which sees the client's own address"},
		{Client{Node: "node-2"}, SourceRanges, "192.0.2.4:80", "no answer"},
		{Client{}, SourceRanges, "192.0.2.4:80", "no answer"},
		{Client{Node: "node-1"}, ClusterIP, "10.96.0.0:80", "an answer of pod on node-1 or pod on node-2 or pod on node-3, and of several in 24 connections"},
		{Client{Node: "node-1"}, Affinity, "10.96.0.9:80", "an answer of pod on node-1 or pod on node-2 or pod on node-3, the same one in 8 connections"},
		{Client{Node: "node-1"}, DNS, "fairlead-test-cluster.ns.svc", "addresses 10.96.0.0, fd00:96::0"},
	} {
		checks := w.Checks(tt.c)
		i := slices.IndexFunc(checks, func(c Check) bool { return c.Kind == tt.kind && c.Target == tt.target })
		if i < 0 {
			t.Errorf("%s does not try %s %s", tt.c, tt.kind, tt.target)
		} else if got := strings.ReplaceAll(checks[i].Want.String(), "fd00:96::,", "fd00:96::0,"); got != tt.want && got != strings.ReplaceAll(tt.want, "fd00:96::0", "fd00:96::") {
			t.Errorf("%s wants of %s %q, want %q", tt.c, tt.target, got, tt.want)
		}
	}
}

// TestPeers: with a limit, as many nodes try each node, and each client fewer.
func TestPeers(t *testing.T) {
	w := world(20)
	w.Peers = 4
	tried := map[string]int{}
	for _, c := range clients(w) {
		for _, check := range w.Checks(c) {
			if check.Kind == Pod && !c.Host && check.Proto == UDP && !strings.HasPrefix(check.Target, "[") {
				tried[check.To]++
			}
		}
	}
	for _, n := range w.Nodes {
		if tried[n.Name] != 5 {
			t.Errorf("%s is tried by %d nodes, want itself and 4", n.Name, tried[n.Name])
		}
	}
}

// TestMissing: a node whose server does not run is no endpoint, and nobody waits for it.
func TestMissing(t *testing.T) {
	w := world(2)
	w.Nodes[1].Pod = nil
	for _, c := range clients(w) {
		for _, check := range w.Checks(c) {
			if check.Kind != NodeAddress && check.Kind != ExternalLocal && slices.Contains(check.Want.Servers, PodServer("node-2")) || check.Want.Spread {
				t.Errorf("%+v wants a server that does not run", check)
			}
			if check.Kind == InternalLocal && c.Node == "node-2" && !strings.HasSuffix(check.What, "-first") {
				t.Errorf("%+v: a node without an endpoint has nothing to answer", check)
			}
		}
	}
	if checks := (&World{}).Checks(Client{}); len(checks) > 0 {
		t.Errorf("nothing is tried as %v", checks)
	}
}

func TestJudge(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	r := func(server string) Reply { return Reply{Server: server, Source: a, Local: a} }
	two := []string{"x", "y"}
	for _, tt := range []struct {
		want    Want
		replies []Reply
		addrs   []netip.Addr
		err     error
		problem string
	}{
		{Want{}, nil, nil, errors.New("no answer in time"), ""},
		{Want{}, []Reply{r("x")}, nil, nil, "x answered"},
		{Want{Any: true}, nil, nil, nil, ""},
		{Want{Any: true}, nil, nil, errors.New("no answer in time"), "no answer in time"},
		{Want{Servers: two}, []Reply{r("y")}, nil, nil, ""},
		{Want{Servers: two}, []Reply{r("z")}, nil, nil, "z answered"},
		{Want{Servers: two, Count: 3}, []Reply{r("x"), r("y")}, nil, errors.New("refused"), "refused, after 2 connections"},
		{Want{Servers: two, Spread: true}, []Reply{r("x"), r("x")}, nil, nil, "all of 2 connections went to x"},
		{Want{Servers: two, Spread: true}, []Reply{r("x"), r("y")}, nil, nil, ""},
		{Want{Servers: two, Same: true}, []Reply{r("x"), r("y")}, nil, nil, "2 connections went to x, y"},
		{Want{Servers: two, Source: true}, []Reply{{Server: "x", Source: a, Local: b}}, nil, nil, "the server sees the client as 10.0.0.1 instead of 10.0.0.2"},
		{Want{Addrs: []netip.Addr{a, b}}, nil, []netip.Addr{b, a}, nil, ""},
		{Want{Addrs: []netip.Addr{a, b}}, nil, []netip.Addr{b}, nil, "the name stands for 10.0.0.2"},
		{Want{Addrs: []netip.Addr{a}}, nil, nil, errors.New("no such host"), "no such host"},
	} {
		if got := tt.want.Judge(tt.replies, tt.addrs, tt.err); got != tt.problem {
			t.Errorf("%+v, %v: %q, want %q", tt.want, tt.replies, got, tt.problem)
		}
	}
}

// TestNextCommand: the command runs where the choice is made.
func TestNextCommand(t *testing.T) {
	for _, tt := range []struct {
		check         Check
		command, node string
	}{
		{Check{Kind: ClusterIP, From: Client{Node: "a"}, Target: "10.96.0.1:80", Proto: TCP}, "fairlead explain --from pod 10.96.0.1:80/tcp", "a"},
		{Check{Kind: NodePort, From: Client{Node: "a", Host: true}, To: "b", Target: "192.168.0.2:30000", Proto: UDP}, "fairlead explain --from outside 192.168.0.2:30000/udp", "b"},
		{Check{Kind: NodePort, From: Client{Node: "a", Host: true}, To: "a", Target: "192.168.0.1:30000", Proto: UDP}, "fairlead explain --from node 192.168.0.1:30000/udp", "a"},
		{Check{Kind: Pod, From: Client{Node: "a"}, To: "b", Target: "10.244.2.2:8080", Proto: TCP}, "fairlead check", "a"},
		{Check{Kind: DNS, From: Client{Node: "a"}, Target: "x", Proto: TCP}, "fairlead explain --from pod kube-system/kube-dns:53/tcp", "a"},
	} {
		if command, node := tt.check.NextCommand(); command != tt.command || node != tt.node {
			t.Errorf("%+v: %q on %q", tt.check, command, node)
		}
	}
}

// TestPaths: each server is measured by its own address and through its Service, at the
// client's own node.
func TestPaths(t *testing.T) {
	w := world(2)
	w.Services = PerfServices()
	for i := range w.Services {
		w.Services[i].ClusterIPs, w.Services[i].NodePort = []netip.Addr{addr("10.96.0.%d", i+1)}, 30001+uint16(i)
	}
	var got []string
	for _, p := range w.Paths() {
		got = append(got, p.Server+" "+p.Via+" "+p.Target)
	}
	want := []string{
		"same node pod address 10.244.1.2:8080", "same node ClusterIP 10.96.0.1:80", "same node NodePort 192.168.0.1:30001",
		"other node pod address 10.244.2.2:8080", "other node ClusterIP 10.96.0.2:80", "other node NodePort 192.168.0.1:30002",
		"same node pod address [fd00:1::1]:8080", "same node NodePort [fd00::1]:30001",
		"other node pod address [fd00:1::2]:8080", "other node NodePort [fd00::1]:30002",
	}
	if !slices.Equal(got, want) {
		t.Errorf("paths %q", got)
	}
	w.Nodes = w.Nodes[:1]
	if got := w.Paths(); len(got) != 5 {
		t.Errorf("one node has paths %v", got)
	}
}
