// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// inShell returns what runs a line of the shell on the first node.
func inShell(line string) func(*testing.T, *world.World) {
	return func(t *testing.T, w *world.World) {
		t.Helper()
		if out, err := nstest.Command(t, w.Cluster.Nodes[0].NS, "sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// elsewhere are what other programs and administrators break beside a running agent: in
// routes, rules, other tables of nftables, settings and devices.
func elsewhere() []situation {
	web := func(symptom, args, want, breakIt, mend string) situation {
		return situation{symptom: symptom, args: args, want: want, breakIt: inShell(breakIt), mend: inShell(mend), client: "pod", dial: "10.96.0.10:80", outcome: "timeout"}
	}
	const (
		route = "10.244.2.0/25 dev eth0"
		vpn   = "ip route add default dev eth0 table 51820 && ip rule add not fwmark 0xca6c table 51820 priority 100"
		noVPN = "ip rule del priority 100 && ip route flush table 51820"
	)
	filter := func(hook, rule string) string {
		return "nft 'add table inet acme; add chain inet acme guard { type filter hook " + hook + "; }; add rule inet acme guard " + rule + "'"
	}
	const noFilter = "nft delete table inet acme"
	return []situation{
		web("Some connections time out: another program's route to pods", "explain default/web", "Packets to 10.244.2.2:8080 get lost: the route 10.244.2.0/25 dev eth0 of another program takes them. [unreachable]",
			"ip route add "+route, "ip route del "+route),
		web("Some connections time out: a route of another program, found by check", "check", "do not take the overlay: the route 10.244.2.0/25 dev eth0 of another program takes them",
			"ip route add "+route, "ip route del "+route),
		web("Some connections time out: a route that drops", "check", "the route blackhole 10.244.2.0/26 of another program takes them",
			"ip route add blackhole 10.244.2.0/26", "ip route del blackhole 10.244.2.0/26"),
		web("Pods reach no other node: the routing rule of a VPN", "check", "the routing rule of another program with priority 100 (not from all fwmark 0xca6c) sends them to table 51820", vpn, noVPN),
		web("Pods reach no other node: the routing rule of a VPN, found by explain", "explain default/web", "the routing rule of another program with priority 100 (not from all fwmark 0xca6c) sends them to table 51820", vpn, noVPN),
		web("Nothing that pods send arrives: another program drops it first", "check", "chain guard in table inet acme drops pod traffic",
			filter("prerouting priority raw", "ip saddr 10.244.0.0/16 drop"), noFilter),
		web("Pods reach no other node: another program drops what leaves by the tunnel", "check", "chain guard in table inet acme drops pod traffic",
			filter("postrouting priority 300", "oifname fairlead.1 drop"), noFilter),
		web("No Service answers: another program turns connection tracking off", "check", "rule 1 of chain guard in table inet acme turns connection tracking off for packets of pods to default/",
			filter("prerouting priority raw", "ip daddr 10.96.0.0/16 notrack"), noFilter),
		web("No Service answers: another program translates first", "check", "rule 1 of chain guard in table inet acme translates packets of pods to default/",
			strings.ReplaceAll(filter("prerouting priority dstnat - 1", "tcp dport 80 dnat ip to 192.0.2.77"), "type filter", "type nat"), noFilter),
		web("Some connections time out: a filter of tc takes the packets of the tunnel", "check", "tc filter u32 pref 7 at egress of eth0 takes the packets that it matches (sends them to device lo)",
			"tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress protocol ip pref 7 u32 match ip protocol 17 0xff match ip dport 8472 0xffff action mirred egress redirect dev lo", "tc qdisc del dev eth0 clsact"),
	}
}

// TestTraceNamesFirewall: a rule of another program that drops the packets of one Service
// only, which no check of pod traffic in general meets, is the last line of a trace.
func TestTraceNamesFirewall(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 1}), 1)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	for name, rule := range map[string]string{
		"port of the endpoint": "forward priority 0; }; add rule inet acme guard tcp dport 8080 drop",
		"address of a Service": "prerouting priority -150; }; add rule inet acme guard ip daddr 10.96.0.10 drop",
		"before tracking":      "prerouting priority -300; }; add rule inet acme guard tcp dport 80 drop",
	} {
		t.Run(name, func(t *testing.T) {
			inNFT(t, node.Host, "add table inet acme; add chain inet acme guard { type filter hook "+rule)
			defer inNFT(t, node.Host, "delete table inet acme")
			out := traceOne(t, w)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if last := strings.Join(strings.Fields(lines[len(lines)-1]), " "); !strings.HasPrefix(last, "inet acme guard drop # rule with handle ") {
				t.Errorf("the last line is %q of\n%s", last, out)
			}
		})
	}
}
