// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/screen"
	"fairlead/cmd/fairlead/state"

	"fairlead/internal/nstest"
)

// command runs this test binary as fairlead, and returns its output and exit code.
func command(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(cmd.Environ(), "FAIRLEAD_COMMAND=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ownOutput(string(out)), cmd.ProcessState.ExitCode()
}

// TestStatusCommand asks an agent that is fine and one with a problem, and reads the
// kernel after the agent was killed.
func TestStatusCommand(t *testing.T) {
	nstest.Need(t)
	dir, manifests := t.TempDir()+"/run", ownedManifests(t, "web", "10.96.0.1")
	expectStatus := func(code int, wants ...string) {
		t.Helper()
		out, got := command(t, "status", "--socket-dir", dir)
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if got != code {
			t.Errorf("exit code %d, want %d:\n%s", got, code, out)
		}
	}
	_ = exec.Command("nft", "delete", "table", "inet", "fairlead").Run() // of an earlier test
	expectStatus(2, "Agent       no agent answers at "+dir, "no agent runs in this network namespace", "does not exist, so no Service works")
	p := startAgent(t, nil, "--manifests", manifests, "--metrics-bind-address", "127.0.0.1:20249", "--healthz-bind-address", "",
		"--socket-dir", dir, "--nodeport-addresses", "all")
	stateWhen(t, dir, "the agent is in sync", func(s *state.State) bool { return s.Table.InSync && len(s.Faults()) == 0 })
	expectStatus(0, "on node node-a", "none; objects come from "+manifests, "Table       in sync\n", "1 Services with 1 endpoints: 1 frontends and 1 backends", "Problems    none\n")
	eventually(t, "the metrics port serves the state", func() error {
		if got := httpGet(t, "http://127.0.0.1:20249/state"); !strings.Contains(got, `"protocol":"fairlead/v1"`) {
			return fmt.Errorf("/state answers %s", got)
		}
		return nil
	})
	out, code := command(t, "status", "--socket-dir", dir, "-o", "json")
	var s state.State
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.Counts.Services != 1 {
		t.Errorf("-o json: %v, code %d:\n%s", err, code, out)
	}
	if out, code := command(t, "status", "--socket-dir", dir, "-o", "yaml"); code != 0 || !strings.Contains(out, "\nprotocol: fairlead/v1\n") {
		t.Errorf("-o yaml: code %d:\n%s", code, out)
	}
	if _, code := command(t, "run", "--manifests", manifests, "--node-name", "x", "--socket-dir", "relative"); code != 1 {
		t.Errorf("a relative --socket-dir ends with code %d", code)
	}
	conflict := ownedManifests(t, "other", "10.96.0.1")
	if out, err := exec.Command("cp", conflict+"/service.yaml", manifests+"/other.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stateWhen(t, dir, "the problem", func(s *state.State) bool { return s.ProblemCount > 0 })
	expectStatus(1, "Problems    1\n            - Service default/other: spec.clusterIP")
	_ = p.Process.Kill()
	_ = p.Wait()
	expectStatus(2, "Agent       no agent answers", "exists, as the last agent left it: 1 frontends of 1 Services")
	out, code = command(t, "status", "--socket-dir", dir, "-o", "json")
	var k screen.Kernel
	if err := json.Unmarshal([]byte(out), &k); err != nil || code != 2 || !k.Table || k.Owned || k.Frontends != 1 {
		t.Errorf("-o json without an agent: %v, code %d:\n%s", err, code, out)
	}
}

// TestStatusOtherSocket: an agent that runs but does not answer is named.
func TestStatusOtherSocket(t *testing.T) {
	nstest.Need(t)
	p := startAgent(t, nil, "--manifests", ownedManifests(t, "web", "10.96.0.1"), "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", "")
	p.logs(t, `"Programmed the table"`)
	out, code := command(t, "status", "--socket-dir", t.TempDir())
	if code != 2 || !strings.Contains(out, "runs as the agent of this network namespace: start it with --socket-dir") {
		t.Errorf("code %d:\n%s", code, out)
	}
}

// TestStatusFlags: mistakes end with code 2, before anything is asked.
func TestStatusFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-o xml":                         `--output: "xml" is not`,
		"--direct":                       "--direct: needs --all-nodes",
		"--all-nodes --agent-ca x":       "--agent-ca: needs --all-nodes and --direct",
		"--all-nodes --socket-dir /x":    "--socket-dir: has no effect with --all-nodes",
		"--all-nodes --kubeconfig /none": "--kubeconfig: ",
		"x":                              "unknown command",
	} {
		out, code := command(t, append([]string{"status"}, strings.Fields(args)...)...)
		if code == 0 || code == 1 && args != "x" || !strings.Contains(out, want) {
			t.Errorf("status %s: code %d, %s", args, code, out)
		}
	}
}

// TestStatusWatch: status --watch prints again when something changed, goes on while no
// agent answers, shows the next agent, and ends at an interrupt.
func TestStatusWatch(t *testing.T) {
	nstest.Need(t)
	dir, manifests := t.TempDir()+"/run", ownedManifests(t, "web", "10.96.0.1")
	_ = exec.Command("nft", "delete", "table", "inet", "fairlead").Run() // of an earlier test
	agent := func() *process {
		t.Helper()
		p := startAgent(t, nil, "--manifests", manifests, "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", dir, "--nodeport-addresses", "all")
		stateWhen(t, dir, "the agent is in sync", func(s *state.State) bool { return s.Table.InSync })
		return p
	}
	first := agent()
	w := &process{Cmd: exec.Command("/proc/self/exe", "status", "--socket-dir", dir, "--watch", "--interval", "100ms", "-o", "json")}
	w.Env = append(os.Environ(), "FAIRLEAD_COMMAND=1")
	w.Stdout, w.Stderr = &w.log, &w.log
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.ProcessState == nil {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	})
	w.logs(t, fmt.Sprintf(`"pid": %d`, first.Process.Pid))
	w.logs(t, `"services": 1`)
	_ = first.Process.Kill()
	_ = first.Wait()
	w.logs(t, "no agent answers")
	second := agent()
	w.logs(t, fmt.Sprintf(`"pid": %d`, second.Process.Pid))
	if err := w.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = w.Wait()
	if status, ok := w.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGINT {
		t.Errorf("an interrupt ends it with %v", w.ProcessState)
	}
}
