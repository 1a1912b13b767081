// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// portOfPod is a Pod with a port of its node, whose place the address of a pod of the lab
// takes.
const portOfPod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{containerPort: 8080, hostPort: 8099}]}]}
status: {phase: Running, podIP: %[2]s, podIPs: [{ip: %[2]s}], hostIP: 192.168.50.1, conditions: [{type: Ready, status: "%[3]s"}]}
`

// TestCheckOthers breaks a node in ways that other programs do, and in which connections
// fail. The check names the rule, filter or setting, and its remedy mends the node.
func TestCheckOthers(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	nstest.Need(t)
	cfg := lab.Config{Nodes: 2, NoPodRoutes: true, PodLink: lab.Bridge}
	w, err := world.New(t.Context(), worldOf(t, cfg, "--ip-masq"), 2)
	testWorld(t, w, err)
	cart := w.Web
	cart.Name, cart.ClusterIPs, cart.NodePort, cart.Sticky = "cart", world.VIPs(cfg, 11), 30081, true
	pod := w.Web.Endpoints[0].Pod
	if err := world.WriteManifest(w.Manifests, "pod.yaml", fmt.Sprintf(portOfPod, pod.Name, pod.Addr4, "True")); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(cart); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []world.Service{w.Web, cart} {
		if err := w.WaitAgents(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("get", func(t *testing.T) { getJoined(t, w, cart) })
	t.Run("diverted", func(t *testing.T) { checkDiverted(t, w) })
	t.Run("tc", func(t *testing.T) { checkTraffic(t, w) })
	t.Run("bridge", func(t *testing.T) { checkBridge(t, w) })
}

// getJoined reads what get prints of addresses together with the objects that they are of.
func getJoined(t *testing.T, w *world.World, cart world.Service) {
	t.Helper()
	node, pod := w.Cluster.Nodes[0], w.Web.Endpoints[0].Pod
	if got := pod.Try(t.Context(), cart.At(cart.ClusterIPs[0])); !strings.Contains(got, " saw ") {
		t.Fatalf("no connection to the sticky Service: %s", got)
	}
	rows := func(kind string) (out []map[string]string) {
		text, err := onNode(t, node, "get", kind, "-o", "json")
		if err == nil {
			err = json.Unmarshal([]byte(text), &out)
		}
		if err != nil {
			t.Fatalf("get %s: %v\n%s", kind, err, text)
		}
		return out
	}
	find := func(kind string, want map[string]string) {
		t.Helper()
		all := rows(kind)
		for _, row := range all {
			same := true
			for key, value := range want {
				same = same && row[key] == value
			}
			if same {
				return
			}
		}
		t.Errorf("get %s has no row %v: %v", kind, want, all)
	}
	address := fmt.Sprintf("%s:%d", pod.Addr4, cart.TargetPort)
	clients := slices.DeleteFunc(rows("affinity"), func(row map[string]string) bool { return row["client"] != pod.Addr4.String() })
	if len(clients) != 1 || clients[0]["from"] != "pod default/"+pod.Name || clients[0]["pod"] == "" || clients[0]["node"] == "" || clients[0]["note"] != "" {
		t.Errorf("get affinity: %v", clients)
	}
	find("hostports", map[string]string{"pod": "default/" + pod.Name, "endpoint": fmt.Sprintf("%s:8080", pod.Addr4), "node": "node-1", "note": ""})
	find("egress", map[string]string{"role": "source", "range": node.PodCIDRs[0].String(), "of": "pods of node node-1"})
	find("egress", map[string]string{"role": "kept destination", "range": w.Cluster.Config.ClusterCIDRs()[0].String(), "of": "--cluster-cidr"})
	find("egress", map[string]string{"role": "node", "range": w.Cluster.Nodes[1].Addr4.String(), "of": "node node-2"})
	for _, form := range []string{"wide", "yaml", "table"} {
		for kind, want := range map[string]string{"affinity": "pod default/" + pod.Name, "hostports": address, "egress": "--cluster-cidr"} {
			if out, err := onNode(t, node, "get", kind, "-o", form); err != nil || !strings.Contains(out, want) {
				t.Errorf("get %s -o %s: %v\n%s", kind, form, err, out)
			}
		}
	}
	if err := world.WriteManifest(w.Manifests, "pod.yaml", fmt.Sprintf(portOfPod, pod.Name, pod.Addr4, "False")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the note of a Pod that is not ready", func() error {
		if list := rows("hostports"); len(list) == 0 || !strings.HasPrefix(list[0]["note"], "the Pod is not ready") {
			return fmt.Errorf("get hostports: %v", list)
		}
		return nil
	})
}

// connects reports whether a pod reaches the Service at its ClusterIP.
func connects(t *testing.T, w *world.World) bool {
	t.Helper()
	return strings.Contains(w.Client.Try(t.Context(), w.Web.At(w.Web.ClusterIPs[0])), " saw ")
}

// checkDiverted puts rules in front of the translation.
func checkDiverted(t *testing.T, w *world.World) {
	t.Helper()
	node := w.Cluster.Nodes[0]
	for name, tt := range map[string]struct{ chain, rule, evidence string }{
		"notrack": {"type filter hook prerouting priority raw", "ip daddr 10.96.0.0/16 notrack", "turns connection tracking off for packets of pods to default/cart"},
		"dnat":    {"type nat hook prerouting priority dstnat - 1", "tcp dport 80 dnat to 192.0.2.77", "translates packets of pods to default/cart"},
	} {
		t.Run(name, func(t *testing.T) {
			has(t, checkOn(t, node), "services", finding.OK, "no rule of another program translates", "")
			inNFT(t, node.Host, "add table ip acme; add chain ip acme pre { "+tt.chain+"; }; add rule ip acme pre "+tt.rule)
			if connects(t, w) {
				t.Error("connections to the Service do not fail")
			}
			r := checkOn(t, node)
			has(t, r, "services", finding.Error, tt.evidence, "nft delete rule ip acme pre handle ")
			for _, f := range r.Findings {
				if f.Check == "services" {
					inNFT(t, node.Host, strings.TrimPrefix(f.Remedy[0], "nft "))
				}
			}
			eventually(t, "the remedy helps", func() error {
				if !connects(t, w) {
					return fmt.Errorf("connections still fail")
				}
				return nil
			})
			inNFT(t, node.Host, "delete table ip acme")
		})
	}
}

// checkTraffic puts a filter of traffic control on the way between the nodes. This kernel
// may have no action that drops, so the filter sends packets to another device.
func checkTraffic(t *testing.T, w *world.World) {
	t.Helper()
	node := w.Cluster.Nodes[0]
	tc := func(args string) {
		t.Helper()
		if out, err := nstest.Command(t, node.NS, "tc", strings.Fields(args)...).CombinedOutput(); err != nil {
			nstest.Skip(t, fmt.Sprintf("tc %s: %v: %s", args, err, out))
		}
	}
	has(t, checkOn(t, node), "tc", finding.OK, "no filter of tc and no XDP program", "")
	tc("qdisc add dev eth0 clsact")
	filter := func(hook string) {
		t.Helper()
		tc("filter add dev eth0 " + hook + " protocol ip pref 7 u32 match ip protocol 17 0xff match ip dport 8472 0xffff action mirred egress redirect dev lo")
	}
	for _, hook := range []string{"egress", "ingress"} {
		filter(hook)
		r := checkOn(t, node)
		has(t, r, "peers", finding.Error, "something drops UDP port 8472", "")
		has(t, r, "tc", finding.Error, "tc filter u32 pref 7 at "+hook+" of eth0 takes the packets that it matches (sends them to device lo), and another node does not answer", "tc filter del dev eth0 "+hook+" pref 7")
		tc("filter del dev eth0 " + hook + " pref 7")
	}
	tc("filter add dev eth0 ingress protocol ip pref 8 u32 match ip dst 192.0.2.1/32 action mirred egress redirect dev lo")
	has(t, checkOn(t, node), "tc", finding.Warning, "tc filter u32 pref 8 at ingress of eth0 takes", "tc -s filter show dev eth0 ingress")
	tc("qdisc del dev eth0 clsact")
	eventually(t, "the check finds no error", func() error {
		if r := checkOn(t, node); r.Worst() == finding.Error {
			return fmt.Errorf("the report is\n%s", r.Text())
		}
		return nil
	})
}

// checkBridge turns off, and then hides, what passes packets between pods of a bridge to the
// table.
func checkBridge(t *testing.T, w *world.World) {
	t.Helper()
	node := w.Cluster.Nodes[0]
	stopAgent(t, w, node)
	dir := t.TempDir()
	flags := []string{
		"--manifests", w.Manifests, "--node-name", node.Name, "--cluster-cidr", world.JoinPrefixes(w.Cluster.Config.ClusterCIDRs()), "--overlay", "vxlan",
		"--cni-plugin", "bridge", "--cni-conf-dir", dir, "--cni-data-dir", dir, "--cni-bin-dir", dir,
	}
	near := world.Service{ClusterIPs: w.Web.ClusterIPs, Port: w.Web.Port}
	reached := func(wait time.Duration) bool { // an endpoint on the client's node
		for range 16 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			got := w.Client.Try(ctx, inet.Addr{IP: near.ClusterIPs[0], Port: near.Port, Proto: inet.TCP})
			cancel()
			if !strings.Contains(got, " saw ") {
				return false
			}
		}
		return true
	}
	if !reached(20 * time.Second) {
		t.Fatal("connections fail before anything is broken")
	}
	const file = "bridge/bridge-nf-call-iptables"
	if err := node.Sysctl(file, "0"); err != nil {
		t.Fatal(err)
	}
	if reached(2 * time.Second) {
		t.Error("connections to an endpoint on the same bridge do not fail")
	}
	has(t, checkOn(t, node, flags...), "sysctl", finding.Error, "net.bridge.bridge-nf-call-iptables is 0, not 1", "sysctl -w net.bridge.bridge-nf-call-iptables=1")
	if err := node.Sysctl(file, "1"); err != nil {
		t.Fatal(err)
	}
	hide := nstest.Command(t, node.NS, "mount", "-t", "tmpfs", "tmpfs", "/proc/sys/net/bridge")
	if out, err := hide.CombinedOutput(); err != nil {
		nstest.Skip(t, fmt.Sprintf("mount: %v: %s", err, out))
	}
	t.Cleanup(func() { _ = nstest.Command(t, node.NS, "umount", "/proc/sys/net/bridge").Run() })
	has(t, checkOn(t, node, flags...), "sysctl", finding.Error, "net.bridge.bridge-nf-call-iptables is not known: if it is not 1, a Service whose endpoint is on the client's node does not work", "modprobe br_netfilter")
}
