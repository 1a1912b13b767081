// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"fairlead/internal/lab"
	"fairlead/internal/nstest"

	"fairlead/cmd/fairlead-lab/world"
)

// TestTable prints the table of an agent, in the namespace of its node.
func TestTable(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 1}), 2)
	testWorld(t, w, err)
	node := w.Cluster.Nodes[0]
	if out, err := onNode(t, node, "table"); err == nil || !strings.Contains(out, "has no table inet fairlead") {
		t.Errorf("without an agent: %v, %s", err, out)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table", func() error {
		out, err := onNode(t, node, "table", "--service", "default/web")
		if err == nil && !strings.Contains(out, `comment "default/web`) {
			t.Errorf("fairlead table prints\n%s", out)
		}
		return err
	})
	out, err := onNode(t, node, "get", "services", "default/web")
	if err != nil || !strings.HasPrefix(out, "SERVICE ") || !strings.Contains(out, "\ndefault/web") || !strings.Contains(out, " cluster ") {
		t.Errorf("fairlead get services: %v\n%s", err, out)
	}
	out, err = onNode(t, node, "get", "endpoints", "-o", "json")
	if err != nil || !strings.Contains(out, `"frontend": "10.96.0.10:80"`) {
		t.Errorf("fairlead get endpoints: %v\n%s", err, out)
	}
	for args, want := range map[string]string{
		"get pods":                      `"pods" is not one of services, endpoints, nodes, hostports, affinity, egress`,
		"get services web":              `"web" is not NAMESPACE/NAME`,
		"get services -o xml":           `--output: "xml" is not table, wide, json, yaml`,
		"table --service default/other": "--service: the table has no frontend of Service default/other",
		"table --service web":           `--service: "web" is not NAMESPACE/NAME`,
		"table --family 5":              `--family: "5" is not 4 or 6`,
	} {
		if out, err := onNode(t, node, strings.Fields(args)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("fairlead %s: %v, %s", args, err, out)
		}
	}
}

// onNode runs a command of this test binary in the namespace of a node.
func onNode(t testing.TB, n *lab.Node, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(cmd.Environ(), "FAIRLEAD_COMMAND=1")
	var out []byte
	err := n.NS.Do(func() error {
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	return ownOutput(string(out)), err
}

// ownOutput returns the output of fairlead without the line that a library adds for the race detector.
func ownOutput(text string) string { return withRace.ReplaceAllString(text, "") }

// withRace is the line that k8s.io/component-base writes first when the race detector is built in.
var withRace = regexp.MustCompile(`(?m)^I\d{4} .* withrace\.go:\d+\] Data race detection enabled\n`)
