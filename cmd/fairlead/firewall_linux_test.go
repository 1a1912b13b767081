// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

// TestInputFirewall gives nodes a firewall that accepts new packets to the tunnel's
// port. Tunnel packets are not tracked, so it drops them. The agent names the chain and
// the remedy, and opens it if the flag says so.
func TestInputFirewall(t *testing.T) {
	nstest.Need(t)
	const rules = `table inet hostfw { chain input { type filter hook input priority 0; policy drop;
		iif lo accept
		ct state established,related accept
		meta l4proto { icmp, ipv6-icmp } accept
		ct state new udp dport 8472 accept
		ct state new tcp dport { 22, 10250 } accept
		}
	}`
	for _, tt := range []struct {
		name  string
		flags []string
		opens bool
	}{{"reported", nil, false}, {"opened", []string{"--open-firewall"}, true}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := lab.Config{Nodes: 2, NoPodRoutes: true}
			made, err := world.New(t.Context(), worldOf(t, cfg, tt.flags...), 0)
			w := testWorld(t, made, err)
			for _, n := range w.Cluster.Nodes {
				runNFT(t, n.Host, rules)
			}
			if err := w.StartAgents(); err != nil {
				t.Fatal(err)
			}
			a, b := labtest.Pod(t, w.Cluster.Nodes[0], "a", 0), labtest.Pod(t, w.Cluster.Nodes[1], "b", 80, inet.TCP)
			if tt.opens {
				expect(t, a.Host, b.Addr4, 80, "b saw "+a.Addr4.String())
				return
			}
			eventually(t, "the chain and the remedy are named", func() error {
				log, err := os.ReadFile(filepath.Join(w.Logs, w.Cluster.Nodes[1].Name+".log"))
				if err == nil && (!strings.Contains(string(log), "chain input in table inet hostfw drops packets to this node (IPv4; tunnel packets of other nodes (udp/8472)) at policy drop") || !strings.Contains(string(log), "nft insert rule inet hostfw input udp dport 8472 accept")) {
					err = errors.New("no such report")
				}
				return err
			})
			if got := a.Try(t.Context(), inet.Addr{IP: b.Addr4, Port: 80, Proto: inet.TCP}); got != "timeout" {
				t.Errorf("with the firewall closed: %s", got)
			}
		})
	}
}
