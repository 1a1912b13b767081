// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/nstest"
)

// askState asks the agent of this network namespace whose socket is in dir.
func askState(t *testing.T, dir string) (*state.State, error) {
	t.Helper()
	c, err := ask.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c.State(t.Context())
}

// stateWhen waits for a state that ok accepts.
func stateWhen(t *testing.T, dir, what string, ok func(*state.State) bool) *state.State {
	t.Helper()
	var s *state.State
	eventually(t, what, func() error {
		var err error
		if s, err = askState(t, dir); err == nil && !ok(s) {
			err = fmt.Errorf("the state is %+v", s)
		}
		return err
	})
	return s
}

// TestSocket asks an agent for its state: what it serves, which program changed the
// table, and a problem. A killed agent leaves a socket that the next one replaces.
func TestSocket(t *testing.T) {
	nstest.Need(t)
	dir := filepath.Join(t.TempDir(), "run")
	manifests := ownedManifests(t, "web", "10.96.0.1")
	args := []string{"--manifests", manifests, "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", dir, "-v", "2"}
	if _, err := askState(t, dir); !errors.Is(err, ask.ErrNoAgent) {
		t.Errorf("without an agent: %v", err)
	}
	first := startAgent(t, nil, args...)
	s := stateWhen(t, dir, "the agent is in sync", func(s *state.State) bool { return s.Table.InSync })
	if s.Node != "node-a" || s.Manifests != manifests || s.PID != first.Process.Pid || s.Version == "" || s.Kernel == "" || !s.Ready || s.APIServer != nil {
		t.Errorf("the agent says %+v", s)
	}
	if want := (state.Counts{Services: 1, Endpoints: 1, Frontends: 1, Backends: 1}); s.Counts != want {
		t.Errorf("it counts %+v, want %+v", s.Counts, want)
	}
	if s.LastSync == nil || s.LastSync.TookSeconds <= 0 || s.LastSync.Error != "" || s.Flags["socket-dir"] != dir {
		t.Errorf("last sync %+v, flags %v", s.LastSync, s.Flags)
	}
	if out, err := exec.Command("nft", "flush", "chain", "inet", "fairlead", "services").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s = stateWhen(t, dir, "the repair", func(s *state.State) bool { return s.Table.Repairs == 1 && s.Table.InSync })
	if r := s.Table.LastRepair; r == nil || r.By == "" || !strings.Contains(r.Found, "services") || len(s.Repairs) != 1 {
		t.Errorf("the repair is %+v of %d", r, len(s.Repairs))
	}
	// The first repair may come from the load at start, which meets the change before the
	// kernel's notification names the program.
	eventually(t, "a repair that names nft", func() error {
		if out, err := exec.Command("nft", "flush", "chain", "inet", "fairlead", "services").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		s := stateWhen(t, dir, "the next repair", func(now *state.State) bool { return now.Table.Repairs > s.Table.Repairs && now.Table.InSync })
		if r := s.Table.LastRepair; !strings.HasPrefix(r.By, "nft (pid ") {
			return fmt.Errorf("the repair is by %s", r.By)
		}
		return nil
	})
	bad := "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {clusterIP: 10.96.0.300, ports: [{port: 80}]}\n"
	if err := os.WriteFile(manifests+"/bad.yaml", []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	stateWhen(t, dir, "the problem", func(s *state.State) bool {
		return slices.ContainsFunc(s.Problems, func(p state.Problem) bool {
			return p.String() == `Service default/bad: spec.clusterIP: "10.96.0.300" is not an IP address`
		})
	})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if _, err := askState(t, dir); !errors.Is(err, ask.ErrNoAgent) {
		t.Errorf("after the agent was killed: %v", err)
	}
	second := startAgent(t, nil, args...)
	stateWhen(t, dir, "the second agent answers", func(s *state.State) bool { return s.PID == second.Process.Pid })
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("an agent that ends leaves %v", left)
	}
}

// TestSocketNoPlace: an agent that cannot make its socket says so and works.
func TestSocketNoPlace(t *testing.T) {
	nstest.Need(t)
	for _, dir := range []string{"/proc/fairlead", "/dev/null"} {
		p := startAgent(t, nil, "--manifests", ownedManifests(t, "web", "10.96.0.1"), "--metrics-bind-address", "",
			"--healthz-bind-address", "127.0.0.1:20356", "--socket-dir", dir)
		p.logs(t, `"Programmed the table"`)
		p.logs(t, `"Warning: problem found" kind="Node" name="node-a" field="socket" problem="commands cannot ask the agent, which works without: `)
		if got := httpGet(t, "http://127.0.0.1:20356/readyz"); !strings.HasPrefix(got, "200 ") {
			t.Errorf("/readyz answers %s", got)
		}
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}
