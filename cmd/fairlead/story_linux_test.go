// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"fairlead/cmd/fairlead/state"
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
	story := []string{"Starting", "Programmed the table", "Problem", "Problem is gone", "Repaired the table after another program changed it", "Ending, the data path stays in place"}
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
