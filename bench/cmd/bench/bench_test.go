// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead/bench/parts"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.MainAsRoot(m) }

// TestSmoke does every part with tiny sizes and wants every subject to serve.
func TestSmoke(t *testing.T) {
	nstest.Need(t)
	out := t.TempDir()
	o := options{bin: filepath.Join("..", "..", "..", "bin"), out: out, size: "smoke"}
	if err := measure(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, bad := range []string{"void", "deadline", "failed"} {
		if strings.Contains(text, bad) {
			t.Errorf("the report says %q:\n%s", bad, text)
		}
	}
	for _, file := range []string{"samples.csv", "update.svg", "update.png", "fairness.svg", "connections.svg", "overlay.svg", summaryFile} {
		if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty: %v", file, err)
		}
	}
}

// The parts of the short size and the start fit into a quarter of an hour.
func TestShortFits(t *testing.T) {
	sum := 30 * time.Second // builds that are cached, and the control plane
	for _, p := range parts.Short() {
		sum += p.Budget
	}
	if sum > 14*time.Minute {
		t.Errorf("the parts may take %s", sum)
	}
}

func TestPlanNamesUnknownParts(t *testing.T) {
	for _, o := range []options{{size: "huge"}, {size: "short", only: "latency,speed"}} {
		if list, err := plan(o); err == nil {
			t.Errorf("%+v has the parts %v", o, list)
		}
	}
}

func TestReplacedKeepsThePage(t *testing.T) {
	got, err := replaced("a\n"+begin+"old\n"+end+"b\n", begin, end, "new")
	if want := "a\n" + begin + "\nnew\n" + end + "b\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, page := range []string{"", begin, end + begin} {
		if got, err := replaced(page, begin, end, "new"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}

// A report replaces the one before, and its plots those.
func TestPublish(t *testing.T) {
	run, repo := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write(run, reportFile, "the report\n")
	write(run, summaryFile, "the summary\n")
	write(run, mainPlot, "<svg/>")
	write(repo, "README.md", "top\n"+beginShort+"old\n"+endShort+"bottom\n")
	write(repo, "docs/performance.md", begin+end)
	write(repo, "docs/pictures/bench-old.svg", "<svg/>")
	write(repo, "docs/pictures/loop.svg", "<svg/>")
	if err := publishTo(run, filepath.Join(repo, "docs")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"README.md":           "top\n" + beginShort + "\nthe summary\n\n![Plot: update](docs/pictures/bench-update.svg)\n\n" + endShort + "bottom\n",
		"docs/performance.md": begin + "\nthe report\n\n![Plot: update](pictures/bench-update.svg)\n\n" + end,
	} {
		b, err := os.ReadFile(filepath.Join(repo, name))
		if err != nil || string(b) != want {
			t.Errorf("%s is %q, want %q: %v", name, b, want, err)
		}
	}
	for name, want := range map[string]bool{"bench-update.svg": true, "bench-old.svg": false, "loop.svg": true} {
		if _, err := os.Stat(filepath.Join(repo, "docs/pictures", name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
