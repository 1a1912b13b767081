// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

// deleteReject deletes the rule of a chain that rejects.
func (w *world) deleteReject(chain string) {
	w.t.Helper()
	m := regexp.MustCompile(`\treject # handle (\d+)\n`).FindStringSubmatch(w.nft("-a", "list", "chain", "inet", "fairlead", chain))
	if m == nil {
		w.t.Fatalf("chain %s does not reject", chain)
	}
	w.nft("delete", "rule", "inet", "fairlead", chain, "handle", m[1])
}

// TestFrontends reads frontends, host ports and clients back from the kernel.
func TestFrontends(t *testing.T) {
	w := newWorld(t, nattest.CountingSettings())
	nattest.Variety(w.state)
	lost := nattest.Addr("[2001:db8::6]:443", inet.TCP)
	f := nat.Frontend{Policy: nat.External, Owner: "default/web:https", Backends: nattest.Backends("[fd00:10:244::3]:8443")}
	w.state.Set(lost, f)
	w.settle()
	f.Backends = nil
	w.state.Set(lost, f) // which keeps its chain
	w.settle()
	w.nft("add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.1 timeout 3h : 10.244.0.3 . 8443 }")
	table := w.read()

	var got []string
	for _, f := range table.Frontends("default/web") {
		line := fmt.Sprint(f.Service, " ", f.Proto, " ", f.Address, " ", f.Policy, " ", f.Sticky, " ", f.Sources)
		for _, e := range f.Endpoints {
			line += fmt.Sprint(" ", e.Address, " ", e.Local, " ", *e.Connections)
		}
		got = append(got, line)
	}
	want := []string{
		"default/web:http tcp *:30080 external true [] 10.244.0.3:8080 false 0 10.244.1.3:8080 false 0",
		"default/web:http tcp [*]:30080 local true [] [fd00:10:244::3]:8080 false 0",
		"default/web:https tcp 203.0.113.5:443 local true [192.0.2.0/24 198.51.100.7/32] 10.244.0.3:8443 true 0 10.244.1.3:8443 false 0 10.244.2.3:8443 false 0",
		"default/web:https tcp 203.0.113.6:443 reject false [192.0.2.0/24]",
		"default/web:https tcp [2001:db8::5]:443 external false [2001:db8:1::/64] [fd00:10:244::3]:8443 false 0 [fd00:10:244::4]:8443 false 0",
		"default/web:https tcp [2001:db8::6]:443 reject false []",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frontends (-want +got):\n%s", diff)
	}
	w.deleteReject("draw6-1")
	for _, f := range w.read().Frontends("default/web") {
		if want := f.Address == "[2001:db8::6]:443"; want != (f.Policy == "unknown") {
			t.Errorf("without the rule that rejects, the policy of %s is %s", f.Address, f.Policy)
		}
	}
	if all := table.Frontends(""); len(all) != 11 {
		t.Errorf("%d frontends, want 11", len(all))
	}
	if got, want := fmt.Sprint(table.HostPorts()), "[{default/dns 192.168.0.1:53 udp 10.244.0.4:53} {default/web-0 *:8080 tcp 10.244.0.3:80} {default/web-0 [*]:8080 tcp [fd00:10:244::3]:80}]"; got != want {
		t.Errorf("host ports %s, want %s", got, want)
	}
	clients := table.Clients()
	if len(clients) != 1 || clients[0].Client != "192.0.2.1" || clients[0].Endpoint != "10.244.0.3:8443" || clients[0].Address != "203.0.113.5:443" {
		t.Errorf("clients %v", clients)
	}
}
