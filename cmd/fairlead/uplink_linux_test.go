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

// TestNodeBehindNAT runs agents on two nodes, of which one has a Node object with an
// address that a router translates 1:1. Pods of both reach each other, through the
// guards of both tables.
func TestNodeBehindNAT(t *testing.T) {
	nstest.Need(t)
	cfg := lab.Config{Nodes: 2, NoPodRoutes: true, Subnets: true}
	made, err := world.New(t.Context(), worldOf(t, cfg), 0)
	w := testWorld(t, made, err)
	behind, other := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	const public = "203.0.113.11"
	runNFT(t, w.Cluster.Router(), `table ip one {
		chain in { type nat hook prerouting priority -100; ip daddr `+public+` dnat to `+behind.Addr4.String()+`; }
		chain out { type nat hook postrouting priority 100; ip saddr `+behind.Addr4.String()+` ip daddr != 203.0.113.0/24 snat to `+public+`; }
	}`)
	name := filepath.Join(w.Manifests, "nodes.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := world.WriteManifest(w.Manifests, "nodes.yaml", strings.ReplaceAll(string(text), `"`+behind.Addr4.String()+`"`, `"`+public+`"`)); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	a, b := labtest.Pod(t, behind, "a", 80, inet.TCP), labtest.Pod(t, other, "b", 80, inet.TCP)
	expect(t, a.Host, b.Addr4, 80, "b saw "+a.Addr4.String())
	expect(t, b.Host, a.Addr4, 80, "a saw "+b.Addr4.String())
	eventually(t, "no problem is reported", func() error {
		for name, agent := range w.Agents {
			if log := agent.Tail(); strings.Contains(log, "underlay") {
				return errors.New(name + ": " + log)
			}
		}
		return nil
	})
}

func runNFT(t *testing.T, h *lab.Host, rules string) {
	t.Helper()
	cmd := nstest.Command(t, h.NS, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// TestProbePeers drops what one node sends through the IPv4 tunnel. Another node reports
// that its packets never come back, of that family only.
func TestProbePeers(t *testing.T) {
	nstest.Need(t)
	cfg := lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true}
	made, err := world.New(t.Context(), worldOf(t, cfg, "--probe-peers=1s"), 0)
	w := testWorld(t, made, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	here, there := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	log := func() string {
		text, err := os.ReadFile(filepath.Join(w.Logs, here.Name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const lost = "did not answer 3 or more packets in a row through the tunnel"
	a, b := labtest.Pod(t, here, "a", 0), labtest.Pod(t, there, "b", 80, inet.TCP)
	expect(t, a.Host, b.Addr4, 80, "b saw "+a.Addr4.String())
	if strings.Contains(log(), "in a row through the tunnel") {
		t.Errorf("peers that answer are reported:\n%s", log())
	}
	runNFT(t, there.Host, `table ip block { chain out { type filter hook output priority 0; udp dport 8472 drop
		}
	}`)
	eventually(t, "the lost peer is named", func() error {
		if text := log(); !strings.Contains(text, "node "+there.Name+" ("+there.PodCIDRs[0].Addr().String()+") "+lost) {
			return errors.New("no report")
		}
		return nil
	})
	if strings.Contains(log(), "("+there.PodCIDRs[1].Addr().String()+") did not answer") {
		t.Errorf("IPv6, whose packets come back, is reported:\n%s", log())
	}
}
