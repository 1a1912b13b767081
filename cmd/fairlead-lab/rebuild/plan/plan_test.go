// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/view"
	"fairlead/proxier/resolve"
)

// parts returns a node with an uplink, and a pod on a veth.
func parts() *Parts {
	return &Parts{
		About:  &view.About{Host: "node-1"},
		Config: &view.Config{Table: resolve.Config{NodeName: "node-1", ClusterCIDRs: prefixes("10.244.0.0/16")}},
		Network: &view.Network{
			Links: []view.Link{
				{Name: "lo", Kind: "device", Up: true, Addrs: prefixes("127.0.0.1/8")},
				{Name: "eth0", Kind: "device", Up: true, MTU: 1500, Addrs: prefixes("192.0.2.1/24")},
				{Name: "veth1", Kind: "veth", Up: true, MTU: 1450, Addrs: prefixes("10.244.1.1/32")},
				{Name: "sit0", Kind: "sit"},
			},
			Routes: []view.Route{
				{Table: 254, Type: "unicast", Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.254"), Link: "eth0"},
				{Table: 254, Type: "unicast", Dst: netip.MustParsePrefix("192.0.2.0/24"), Link: "eth0"},
				{Table: 254, Type: "unicast", Dst: netip.MustParsePrefix("10.244.1.2/32"), Link: "veth1"},
			},
		},
		Objects: &view.Objects{Pods: []*corev1.Pod{pod("a", "10.244.1.2")}},
		Sysctls: map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/conf/veth1/proxy_arp": "1"},
	}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func pod(name, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// TestNew plans a small node, whose routes without a gateway come first.
func TestNew(t *testing.T) {
	n, err := New(parts(), Limits{Pods: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(n.LeftOut) != 0 || len(n.Links) != 1 || n.Links[0].Role != Uplink || !slices.Equal(n.Links[0].Outside, prefixes("192.0.2.254/24")) {
		t.Errorf("the node is %+v", n)
	}
	if len(n.Routes) != 3 || n.Routes[2].Dst.Bits() != 0 || len(n.Sysctls) != 2 || n.Sysctls[1].File != "ipv4/conf/veth1/proxy_arp" {
		t.Errorf("routes %+v, settings %+v", n.Routes, n.Sysctls)
	}
	p := n.Pods[0]
	if p.Title != "default/a" || p.Device.Name != "veth1" || p.NoDevice || !slices.Equal(p.Gateways, prefixes("10.244.1.1/32")) {
		t.Errorf("the pod is %+v", p)
	}
}

// TestHostile: a bundle with what no node has is an error that names the part, or costs
// only that part.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Parts)
		err    string // or
		left   string
	}{
		{name: "device with a slash", err: `device 2: "../../x" is not the name of a device`, change: func(p *Parts) { p.Network.Links[1].Name = "../../x" }},
		{name: "long name", err: `is not the name of a device`, change: func(p *Parts) { p.Network.Links[1].Name = strings.Repeat("x", 16) }},
		{name: "escape sequence", err: `device 2: "\x1b[2J" is not the name`, change: func(p *Parts) { p.Network.Links[1].Name = "\x1b[2J" }},
		{name: "two of a name", err: `there are two called "eth0"`, change: func(p *Parts) { p.Network.Links[2].Name = "eth0" }},
		{name: "MTU", err: `eth0: the MTU -1 is not from 0`, change: func(p *Parts) { p.Network.Links[1].MTU = -1 }},
		{name: "address", err: `eth0: "invalid Prefix" is not an address of a device`, change: func(p *Parts) { p.Network.Links[1].Addrs = []netip.Prefix{{}} }},
		{name: "multicast address", err: `eth0: "224.0.0.1/4" is not an address`, change: func(p *Parts) { p.Network.Links[1].Addrs = prefixes("224.0.0.1/4") }},
		{name: "addresses", err: "it has 70000 addresses, the limit is 256", change: func(p *Parts) { p.Network.Links[1].Addrs = make([]netip.Prefix, 70000) }},
		{name: "VNI", err: `VNI 16777216 or port 0 does not exist`, change: func(p *Parts) { p.Network.Links[1].VXLAN = &view.VXLAN{VNI: 1 << 24} }},
		{name: "devices", err: "it has 5000 devices, the limit is 4096", change: func(p *Parts) { p.Network.Links = make([]view.Link, 5000) }},
		{name: "routes", err: "routes, the limit is", change: func(p *Parts) { p.Network.Routes = make([]view.Route, 2*view.MaxEntries+1) }},
		{name: "route without destination", left: "1 routes are left out, because they have an address", change: func(p *Parts) { p.Network.Routes[0].Dst = netip.Prefix{} }},
		{name: "route of another family", left: "1 routes are left out, because they have an address", change: func(p *Parts) { p.Network.Routes[0].Source = netip.MustParseAddr("::1") }},
		{name: "route by a device that is not there", left: "1 routes are left out, because their devices are", change: func(p *Parts) { p.Network.Routes[0].Link = "eth9" }},
		{name: "type of a route", left: "1 routes are left out", change: func(p *Parts) { p.Network.Routes[0].Type = "xresolve" }},
		{name: "many routes", left: "10002 routes and neighbours are left out", change: func(p *Parts) {
			for i := range maxRoutes + 10_000 - 1 {
				r := p.Network.Routes[1]
				r.Table = i + 1
				p.Network.Routes = append(p.Network.Routes, r)
			}
		}},
		{name: "rule", left: "1 routing rules are left out", change: func(p *Parts) { p.Network.Rules = []view.Rule{{Table: -1}} }},
		{name: "setting outside", change: func(p *Parts) {
			p.Sysctls = map[string]string{"kernel/core_pattern": "1", "net/ipv4/../../kernel/panic": "1", "net/ipv4/conf/../all/forwarding": "1", "net/ipv4/conf//forwarding": "1", "net/ipv4/conf/eth0/x": "1", "net/ipv4/ip_forward": "0"}
		}},
		{name: "value of a setting", left: "1 kernel settings are left out", change: func(p *Parts) { p.Sysctls["net/ipv4/ip_forward"] = "|/bin/sh" }},
		{name: "100,000 pods", left: "99998 of 100001 pods are left out, because the limit is 3 (--pods)", change: func(p *Parts) {
			p.Objects.Pods = nil
			for i := range 100_000 {
				p.Objects.Pods = append(p.Objects.Pods, pod(fmt.Sprint(i), fmt.Sprintf("10.%d.%d.%d", 100+i>>16, i>>8&255, i&255)))
			}
		}},
		{name: "pod with the address of the node", change: func(p *Parts) {
			p.Objects.Pods = append(p.Objects.Pods, pod("b", "192.0.2.1"), pod("c", "127.0.0.1"), pod("d", "x/y"))
		}},
		{name: "name of a pod", change: func(p *Parts) { p.Objects.Pods[0].Name = "../$(reboot);'\n" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parts()
			tt.change(p)
			n, err := New(p, Limits{Pods: 3})
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), "network.json: ") || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := strings.Join(n.LeftOut, "\n"); !strings.Contains(left, tt.left) || tt.left == "" && left != "" {
				t.Errorf("left out %q, want %q", left, tt.left)
			}
			checkSafe(t, n)
		})
	}
}

// checkSafe: nothing in a plan exceeds its bounds, leads out of /proc/sys/net, or means
// something to a shell.
func checkSafe(t *testing.T, n *Node) {
	t.Helper()
	if len(n.Pods) > 3 || len(n.Routes) > maxRoutes {
		t.Errorf("%d pods, %d routes", len(n.Pods), len(n.Routes))
	}
	for _, p := range n.Pods {
		if strings.Trim(p.Host, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("the namespace of a pod is called %q", p.Host)
		}
	}
	for _, s := range n.Sysctls {
		if strings.Contains(s.File, "..") || !strings.HasPrefix(s.File, "ipv4/") || strings.Contains(s.File, "//") {
			t.Errorf("the plan writes %q", s.File)
		}
	}
}

// TestLimits refuses a number of pods that no machine has.
func TestLimits(t *testing.T) {
	for _, pods := range []int{-1, MaxPods + 1} {
		if _, err := New(parts(), Limits{Pods: pods}); err == nil || !strings.Contains(err.Error(), "is not from 0 to 1000") {
			t.Errorf("%d pods: %v", pods, err)
		}
	}
	n, err := New(parts(), Limits{})
	if err != nil || len(n.Pods) != 0 || len(n.Routes) != 2 || len(n.LeftOut) != 2 {
		t.Errorf("no pods: %v, %+v", err, n)
	}
}
