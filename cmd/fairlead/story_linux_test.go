// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestLogStory reads the log of an agent at the default verbosity as an operator does: who
// started, what was programmed, a problem that comes and goes, a repair with the program
// that made it necessary, and the end. There is a line for each and few others, as text
// and as JSON.
func TestLogStory(t *testing.T) {
	nstest.Need(t)
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) { testLogStory(t, format) })
	}
}

func testLogStory(t *testing.T, format string) {
	t.Helper()
	dir, manifests := t.TempDir()+"/run", ownedManifests(t, "web", "10.96.0.1")
	_ = exec.Command("nft", "delete", "table", "inet", "fairlead").Run() // of an earlier test
	p := startAgent(t, nil, "--manifests", manifests, "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", dir,
		"--nodeport-addresses", "all", "--logging-format", format)
	stateWhen(t, dir, "the agent is in sync", func(s *state.State) bool { return s.Table.InSync })
	p.logs(t, "Programmed the table")
	bad := manifests + "/bad.yaml"
	if err := os.WriteFile(bad, []byte("apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {clusterIP: 10.96.0.300, ports: [{port: 80}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.logs(t, "is not an IP address")
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	p.logs(t, "Problem is gone")
	eventually(t, "a repair", func() error {
		if out, err := exec.Command("nft", "flush", "chain", "inet", "fairlead", "services").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		stateWhen(t, dir, "the repair", func(s *state.State) bool { return s.Table.Repairs > 0 && s.Table.InSync })
		if !strings.Contains(p.text(), "nft (pid ") {
			return fmt.Errorf("no repair names nft in %s", p.text())
		}
		return nil
	})
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	story := []string{"Starting", "Programmed the table", "Warning: problem found", "Problem is gone", "Repaired the table after another program changed it", "Ending, the data path stays in place"}
	next, lines := 0, 0
	for line := range strings.Lines(p.text()) {
		lines++
		message := line
		if format == "json" {
			var l struct {
				TS  float64 `json:"ts"`
				Msg string  `json:"msg"`
				V   *int    `json:"v"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.TS == 0 || l.Msg == "" {
				t.Errorf("a line is no JSON with time and message: %v, %s", err, line)
			}
			message = `"` + l.Msg + `"`
		}
		if next < len(story) && strings.Contains(message, `"`+story[next]+`"`) {
			next++
		}
		if strings.Contains(line, "eature gate") {
			t.Errorf("noise: %s", line)
		}
	}
	if next < len(story) {
		t.Errorf("the story has no %q after what comes before it:\n%s", story[next], p.text())
	}
	if lines > 25 {
		t.Errorf("%d lines are no story:\n%s", lines, p.text())
	}
	for _, fact := range []string{"node-a", "version", "kernel", "took", "default/bad", "spec.clusterIP"} {
		if !strings.Contains(p.text(), fact) {
			t.Errorf("the log does not say %q", fact)
		}
	}
}

// fact returns a key and its value as a line of the format has them.
func fact(format, key, value string) string {
	if format == "json" {
		return fmt.Sprintf("%q:%s", key, value)
	}
	return key + "=" + value
}

// linesOf returns the lines of a log with a message.
func linesOf(log, message string) []string {
	var out []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"`+message+`"`) {
			out = append(out, line)
		}
	}
	return out
}

// says waits until a line with the message has all the facts.
func says(t *testing.T, log func() string, message string, facts ...string) {
	t.Helper()
	eventually(t, "the log says "+message, func() error {
		for _, line := range linesOf(log(), message) {
			if !slices.ContainsFunc(facts, func(f string) bool { return !strings.Contains(line, f) }) {
				return nil
			}
		}
		return fmt.Errorf("no line has %v:\n%s", facts, log())
	})
}

// TestLogSyncs: at -v=2 a line for each sync says what it changed: a Service that comes,
// whose endpoint changes, and that goes.
func TestLogSyncs(t *testing.T) {
	nstest.Need(t)
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			manifests := ownedManifests(t, "web", "10.96.0.1")
			_ = exec.Command("nft", "delete", "table", "inet", "fairlead").Run() // of an earlier test
			p := startAgent(t, nil, "--manifests", manifests, "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", "",
				"--nodeport-addresses", "all", "--logging-format", format, "-v=2")
			is := func(key, value string) string { return fact(format, key, value) }
			// The agent may have read the table before the objects, which is no part of the sync.
			says(t, p.text, "Synced", is("services", "1"), is("endpoints", "1"), is("changed", "0"), is("deleted", "0"))
			name := manifests + "/service.yaml"
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := strings.ReplaceAll(string(text), "10.244.0.7", "10.244.0.8")
			if err := os.WriteFile(name, []byte(elsewhere), 0o600); err != nil || elsewhere == string(text) {
				t.Fatalf("%v: no other endpoint in\n%s", err, elsewhere)
			}
			says(t, p.text, "Synced", is("services", "1"), is("endpoints", "1"), is("added", "0"), is("changed", "1"), is("deleted", "0"), is("batches", "1"), is("loads", "0"))
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			says(t, p.text, "Synced", is("services", "1"), is("endpoints", "0"), is("added", "0"), is("changed", "0"), is("deleted", "3"))
			for _, line := range linesOf(p.text(), "Synced") {
				for _, key := range []string{"services", "endpoints", "added", "changed", "deleted", "batches", "loads", "took"} {
					if !strings.Contains(line, fact(format, key, "")) {
						t.Errorf("no %s in %s", key, line)
					}
				}
			}
		})
	}
}

// TestLogPeers tells of peers that come and go, and of a route that another program has:
// once, however often the overlay is retried.
func TestLogPeers(t *testing.T) {
	nstest.Need(t)
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) { testLogPeers(t, format) })
	}
}

func testLogPeers(t *testing.T, format string) {
	t.Helper()
	made, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, NoPodRoutes: true}, "--logging-format="+format), 0)
	w := testWorld(t, made, err)
	here, there := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	route := []string{"ip", "route", "add", "blackhole", there.PodCIDRs[0].String()}
	run := func(args ...string) {
		t.Helper()
		if out, err := nstest.Command(t, here.Host.NS, args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	run(route...)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	log := func() string {
		text, err := os.ReadFile(filepath.Join(w.Logs, here.Name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	is := func(key, value string) string { return fact(format, key, value) }
	says(t, log, "Overlay peer joined", is("node", `"`+there.Name+`"`), is("peers", "1"))
	const failed = "Failed to complete the overlay, retrying"
	says(t, log, failed, there.PodCIDRs[0].String())
	name := filepath.Join(w.Manifests, "nodes.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(text), `"`+there.Addr4.String()+`"`, `"`+there.Addr4.Next().String()+`"`)
	if err := world.WriteManifest(w.Manifests, "nodes.yaml", moved); err != nil {
		t.Fatal(err)
	}
	says(t, log, "Overlay peer moved", there.Addr4.Next().String())
	if lines := linesOf(log(), failed); len(lines) != 1 {
		t.Errorf("one error makes %d lines:\n%s", len(lines), strings.Join(lines, ""))
	}
	run("ip", "route", "del", "blackhole", there.PodCIDRs[0].String())
	if err := world.WriteManifest(w.Manifests, "nodes.yaml", string(text)); err != nil { // or the retry comes late
		t.Fatal(err)
	}
	says(t, log, "Completed the overlay after errors")
	if err := world.WriteManifest(w.Manifests, "nodes.yaml", world.NodesManifest([]*lab.Node{here})); err != nil {
		t.Fatal(err)
	}
	says(t, log, "Overlay peer left", is("node", `"`+there.Name+`"`), is("peers", "0"))
}
