// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
)

// loseEndpoint gives a Service an endpoint and takes it away again. The table keeps its shape, and
// the commands say of it what they say of a Service that never had an endpoint.
func loseEndpoint(t *testing.T, w *world.World, node *lab.Node, never, gone world.Service) {
	t.Helper()
	write := func(s world.Service) {
		t.Helper()
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := onNode(t, node, args...)
		if err != nil {
			t.Fatalf("fairlead %v: %v\n%s", args, err, out)
		}
		return out
	}
	served := gone
	served.Endpoints = w.Web.Endpoints[:1]
	write(served)
	if err := w.WaitAgents(t.Context(), served); err != nil {
		t.Fatal(err)
	}
	write(gone)
	refuses := func() error {
		if out := run("get", "services", "default/gone"); strings.Count(out, " reject ") != 4 {
			return fmt.Errorf("not all addresses reject:\n%s", out)
		}
		return nil
	}
	eventually(t, "the Service without endpoints is rejected", refuses)
	if out := run("table", "--service", "default/gone"); !strings.Contains(out, "goto cluster4-1") || strings.Contains(out, ": goto refuse") {
		t.Errorf("the shape is not kept:\n%s", out)
	}
	same := strings.NewReplacer(fmt.Sprint(gone.ClusterIPs[0]), fmt.Sprint(never.ClusterIPs[0]), fmt.Sprint(gone.ClusterIPs[1]),
		fmt.Sprint(never.ClusterIPs[1]), fmt.Sprint(gone.NodePort), fmt.Sprint(never.NodePort), gone.Name, never.Name)
	if want, got := sentences(run("explain", "default/"+never.Name)), same.Replace(sentences(run("explain", "default/"+gone.Name))); got != want {
		t.Errorf("explain says of a Service that never had an endpoint:\n%s\nand of one that lost it:\n%s", want, got)
	}
}

// sentences leaves out rules and elements, which differ.
func sentences(explanation string) string {
	var out []string
	for line := range strings.Lines(explanation) {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "chain ") && !strings.HasSuffix(text, "}") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
