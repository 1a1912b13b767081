// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/deploy/tools/internal/deps"
	"fairlead/deploy/tools/internal/oci"
)

// TestStale checks that NOTICE is what go.mod asks for.
func TestStale(t *testing.T) {
	if err := run(t.Context(), "../../..", true); err != nil {
		t.Error(err)
	}
}

// TestTexts checks that the licence and the notice of a module that has both are there,
// and that no module's licence is missing.
func TestTexts(t *testing.T) {
	modules, err := deps.Find(t.Context(), oci.Programs("../../..")...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\ngithub.com/prometheus/client_golang v", ", NOTICE\n", "Prometheus instrumentation library for Go applications",
		"\nGo standard library (BSD-3-Clause)\n", "Copyright 2009 The Go Authors",
		"\ngithub.com/containernetworking/plugins v",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("NOTICE lacks %q", want)
		}
	}
	if len(modules) < 50 {
		t.Errorf("%d modules", len(modules))
	}
	for _, m := range modules {
		if m.License == "" || len(m.Texts) == 0 || m.Path != deps.StandardLibrary && !strings.HasPrefix(m.Sum, "h1:") {
			t.Errorf("%s %s: licence %q, %d texts, sum %q", m.Path, m.Version, m.License, len(m.Texts), m.Sum)
		}
	}
}
