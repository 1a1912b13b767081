// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestMasqueradeRange reads every rule: only one chain masquerades, and it gives UDP
// a range that is large, within the ports that the kernel draws from, and without the
// port of the tunnels.
func TestMasqueradeRange(t *testing.T) {
	for port, want := range map[uint16]string{
		0: "", 1: "1024-65535", 1023: "1024-65535", 1024: "1025-65535", 4789: "4790-65535", 8472: "8473-65535",
		33279: "33280-65535", 33280: "1024-33279", 51820: "1024-51819", 65535: "1024-65534",
	} {
		set := nattest.Settings()
		set.Tunnels.Port = port
		for _, chain := range allChains(&set) {
			for i, r := range chain.Rules {
				switch {
				case !strings.Contains(r.Text, "masquerade "):
				case chain.Name != chainMasquerade:
					t.Errorf("port %d: chain %s masquerades: %s", port, chain.Name, r.Text)
				case want != "" && i == 0 && r.Text != "meta l4proto udp masquerade to :"+want+" fully-random":
					t.Errorf("port %d: %s", port, r.Text)
				case want != "" && i > 1:
					t.Errorf("port %d: another rule: %s", port, r.Text)
				}
			}
		}
	}
}

// allChains returns the program and the chains of many shapes.
func allChains(set *nat.Settings) []Chain {
	out := Program(set, true, nil)
	for _, verdict := range []string{"cluster4-2", "external6-4", "node-local4-4-2", "guarded-sticky-external4-2"} {
		out = append(out, ChainsOf(verdict, set)...)
	}
	return append(out, AffinityChain{Family: inet.IPv4, Local: true, Timeout: time.Hour}.chains(set)...)
}
