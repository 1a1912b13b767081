// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compile builds a Go program whose version is stamped as the plugins' build
// script does it. It takes no module to build, and no network.
func compile(t *testing.T, version string) []byte {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-o", filepath.Join(dir, "out")}
	if version != "" {
		args = append(args, "-ldflags", "-s -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion="+version)
	}
	cmd := exec.Command("go", append(args, source)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestInstallPlugins with real programs in the place of the plugins.
func TestInstallPlugins(t *testing.T) {
	v19, v110, none := compile(t, "v1.9.1"), compile(t, "v1.10.0"), compile(t, "")
	tests := []struct {
		name         string
		ours, theirs []byte // theirs nil: there is none
		want         Result
	}{
		{"none there", v19, nil, Result{Outcome: Installed, Ours: "v1.9.1"}},
		{"the same", v19, v19, Result{Outcome: Same, Ours: "v1.9.1"}},
		{"older there", v110, v19, Result{Outcome: Upgraded, Ours: "v1.10.0", Theirs: "v1.9.1"}},
		{"newer there", v19, v110, Result{Outcome: Newer, Ours: "v1.9.1", Theirs: "v1.10.0"}},
		{"same version, other build", v19, append(bytes.Clone(v19), 0), Result{Outcome: Newer, Ours: "v1.9.1", Theirs: "v1.9.1"}},
		{"unknown there", v19, none, Result{Outcome: Unknown, Ours: "v1.9.1"}},
		{"ours unknown", none, v19, Result{Outcome: Unknown, Theirs: "v1.9.1"}},
		{"a wrapper there", v19, []byte("#!/bin/sh\nexec true\n"), Result{Outcome: Unknown, Ours: "v1.9.1"}},
		{"empty there", v19, []byte{}, Result{Outcome: Installed, Ours: "v1.9.1"}},
		{"half of it there", v19, v19[:len(v19)/2], Result{Outcome: Installed, Ours: "v1.9.1"}},
		{"all but its end there", v19, v19[:len(v19)-1], Result{Outcome: Installed, Ours: "v1.9.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, to := t.TempDir(), filepath.Join(t.TempDir(), "bin")
			write(t, filepath.Join(from, "ptp"), tt.ours)
			if tt.theirs != nil {
				if err := os.Mkdir(to, 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(to, "ptp"), tt.theirs)
			}
			got, err := InstallPlugins(from, to, []string{"ptp"})
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Plugin = "ptp"
			if diff := cmp.Diff([]Result{tt.want}, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			want := tt.theirs
			if o := tt.want.Outcome; o == Installed || o == Upgraded {
				want = tt.ours
			}
			have, err := os.ReadFile(filepath.Join(to, "ptp"))
			if err != nil || !bytes.Equal(have, want) {
				t.Errorf("the wrong program is there: %d bytes, %v, want %d", len(have), err, len(want))
			}
			if missing := Missing(to, []string{"ptp"}); len(missing) > 0 {
				t.Error("it cannot be run")
			}
			if names, err := os.ReadDir(to); err != nil || len(names) != 1 {
				t.Errorf("left behind: %v, %v", names, err)
			}
		})
	}
}

// TestInstallPluginsBusy replaces a program that runs: writing to it would fail.
func TestInstallPluginsBusy(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	busy := filepath.Join(t.TempDir(), "sleep")
	write(t, busy, program)
	cmd := exec.Command(busy, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := replace(busy, 0o755, bytes.NewReader(append(program, 0))); err != nil {
		t.Error(err)
	}
}

// TestInstallPluginsErrors checks that the other plugins are installed nevertheless.
func TestInstallPluginsErrors(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "good"), compile(t, "v1.0.0"))
	write(t, filepath.Join(from, "text"), []byte("not a program"))
	got, err := InstallPlugins(from, to, []string{"none", "text", "../good", "good"})
	if len(got) != 1 || got[0].Outcome != Installed {
		t.Errorf("got %v", got)
	}
	for _, want := range []string{"install plugin none: ", "install plugin text: " + from + "/text is not a program of this platform", "install plugin ../good: not the name of a file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if got := Missing(to, []string{"good", "none"}); cmp.Diff([]string{"none"}, got) != "" {
		t.Errorf("missing %v", got)
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
