// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestDocumentedCommands: commands in the pages exist, with their flags, and so do
// the chart's values.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile("../../deploy/chart/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(chart, &values); err != nil {
		t.Fatal(err)
	}
	commands, settings := 0, 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^    (?:bin/)?fairlead ([^#\n]*)`).FindAllStringSubmatch(string(text), -1) {
			commands++
			if err := parses(strings.Fields(m[1])); err != nil {
				t.Errorf("%s: fairlead %s: %v", page, m[1], err)
			}
		}
		for _, m := range regexp.MustCompile(`--set(?:-string)? '?(\w+)`).FindAllStringSubmatch(string(text), -1) {
			settings++
			if _, ok := values[m[1]]; !ok {
				t.Errorf("%s: the chart has no value %s", page, m[1])
			}
		}
	}
	if commands < 5 || settings < 5 {
		t.Errorf("%d commands and %d values were found", commands, settings)
	}
}

// parses reports what is wrong with a command line, "..." left out.
func parses(args []string) error {
	if n := len(args); n > 0 && args[n-1] == "..." {
		args = args[:n-1]
	}
	cmd, rest, err := newRootCommand().Find(args)
	if err != nil {
		return err
	}
	return cmd.ParseFlags(rest)
}
