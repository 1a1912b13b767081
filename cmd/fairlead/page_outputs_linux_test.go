// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// tampering is what another program does to the table, by hand.
const tampering = `insert rule inet fairlead services ip saddr 10.9.9.9 drop
add rule inet fairlead services limit rate 5/second accept
chain inet fairlead postrouting { policy drop; }
delete element inet fairlead hairpin4 { 10.244.1.3 . 10.244.1.3 }`

// TestPageOutputs runs the commands of docs/troubleshooting.md whose output is the same each
// time. With -update it writes what they print into the page.
func TestPageOutputs(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, NoPodRoutes: true}, "--nodeport-addresses", "all"), 2)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	record := func(part, shown string, args ...string) {
		t.Helper()
		out, err := onNode(t, node, args...)
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			t.Fatalf("fairlead %v: %v\n%s", args, err, out)
		}
		if part == "table" {
			out = "...\n" + chainOf(out, "services") + "...\n"
		}
		updatePage(t, "../../docs/troubleshooting.md", part, fmt.Sprintf("```\n$ fairlead %s\n%s```\n\n", shown, out))
	}
	eventually(t, "in sync", func() error {
		out, err := onNode(t, node, append([]string{"diff"}, w.AgentFlags(node)...)...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	record("services", "get services default/web", "get", "services", "default/web")
	record("endpoints", "get endpoints default/web", "get", "endpoints", "default/web")
	if err := w.Agents[node.Name].Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(tampering, "\n") {
		if out, err := world.RunIn(t.Context(), node.Host, "nft", line); err != nil {
			t.Fatalf("nft %s: %v: %s", line, err, out)
		}
	}
	flags := strings.Split("--node-name node-1 --cluster-cidr 10.244.0.0/16 --overlay vxlan --ip-masq --nodeport-addresses all", " ")
	record("diff", "diff --manifests /etc/fairlead/manifests "+strings.Join(flags, " "), append([]string{"diff", "--manifests", w.Manifests}, flags...)...)
	record("table", "table --service default/web --family 4", "table", "--service", "default/web", "--family", "4")
}

// chainOf returns one chain of a listing.
func chainOf(table, name string) string {
	_, rest, _ := strings.Cut(table, "\tchain "+name+" {\n")
	body, _, _ := strings.Cut(rest, "\t}\n")
	return "\tchain " + name + " {\n" + body + "\t}\n"
}
