// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/rebuild/plan"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// TestPage prints the node that the page about troubleshooting shows. Each line of the page
// is one that the lab prints.
func TestPage(t *testing.T) {
	const page = "../../../docs/troubleshooting.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(text), "$ fairlead-lab --bundle node.tar.gz\n")
	shown, _, closed := strings.Cut(shown, "```")
	if !found || !closed {
		t.Fatalf("%s shows no output of fairlead-lab --bundle", page)
	}
	table := &listing.Table{Found: &ruleset.Snapshot{Chains: map[string]*ruleset.Chain{}}}
	for i := range 31 {
		table.Found.Chains[strings.Repeat("c", i+1)] = &ruleset.Chain{}
	}
	for range 42 {
		table.Found.Elements.Add(&ruleset.Element{})
	}
	link := func(name string, outside []netip.Prefix, addr string) plan.Link {
		return plan.Link{Link: view.Link{Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}, Outside: outside}
	}
	pod := Pod{Host: &lab.Host{Name: "pod1-web-1", Addr4: netip.MustParseAddr("10.244.1.3")}}
	pod.Title, pod.Ports = "default/web-1", []inet.Addr{{IP: pod.Addr4, Port: 8080, Proto: inet.TCP}}
	pod.Device.Name = "veth3"
	n := &Node{
		Bundle: Bundle{Table: table, About: view.About{Version: "v0.1.0", Kernel: "6.12.8", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		Pods:   []Pod{pod, pod, pod},
		plan: &plan.Node{
			Name: "node-1", Routes: make([]view.Route, 31), Neighbours: make([]view.Neighbour, 4),
			Links: []plan.Link{
				link("eth0", []netip.Prefix{netip.MustParsePrefix("192.168.50.254/24")}, "192.168.50.1/24"),
				link("fairlead.1", nil, "10.244.1.0/32"), {},
			},
		},
	}
	var b strings.Builder
	if err := n.Print(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimRight(shown, "\n"), "\n") {
		if strings.TrimSpace(line) != "..." && !strings.Contains(b.String(), line+"\n") {
			t.Errorf("%s shows the line %q; the lab prints\n%s", page, line, b.String())
		}
	}
}
