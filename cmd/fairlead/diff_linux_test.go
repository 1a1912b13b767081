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

// TestDiff compares the table of an agent that has ended, with an overlay and sticky
// clients, before and after damage.
func TestDiff(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true}), 2)
	testWorld(t, w, err)
	node := w.Cluster.Nodes[0]
	diff := func(manifests string) (string, int) {
		out, err := onNode(t, node, "diff", "--manifests", manifests, "--node-name", node.Name,
			"--cluster-cidr", world.JoinPrefixes(w.Cluster.Config.ClusterCIDRs()), "--overlay", "vxlan", "--ip-masq")
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return out, exit.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out, 0
	}
	if out, code := diff(w.Manifests); code != 2 || !strings.Contains(out, "has no table inet fairlead") {
		t.Errorf("without a table: exit code %d:\n%s", code, out)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no difference", func() error {
		if out, code := diff(w.Manifests); code != 0 || out != "" {
			return fmt.Errorf("exit code %d:\n%s", code, out)
		}
		return nil
	})
	for _, a := range w.Agents {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{
		"flush set inet fairlead hairpin4",
		"add chain inet fairlead postrouting { policy drop; }",
		"add chain inet fairlead mine { type filter hook forward priority 0; }",
	} {
		if out, err := nstest.Command(t, node.NS, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
	}
	out, code := diff(w.Manifests)
	for _, want := range []string{"missing element of hairpin4 {", "changed chain postrouting: it has policy drop", "extra   chain mine\n"} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q is not there once", want)
		}
	}
	if n := strings.Count(out, "\n"); code != 1 || n != 3 {
		t.Errorf("exit code %d and %d lines, want 1 and 3:\n%s", code, n, out)
	}
	if out, code := diff("/nonexistent"); code != 2 || !strings.Contains(out, "--manifests: ") {
		t.Errorf("without manifests: exit code %d:\n%s", code, out)
	}
}
