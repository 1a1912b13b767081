// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	for _, file := range []string{"samples.csv", "update.svg", "update.png"} {
		if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty: %v", file, err)
		}
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
	got, err := replaced("a\n"+begin+"old\n"+end+"b\n", "new")
	if want := "a\n" + begin + "\nnew\n" + end + "b\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, page := range []string{"", begin, end + begin} {
		if got, err := replaced(page, "new"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}
