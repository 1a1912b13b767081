// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite docs/commands.md")

// TestCommandsPage: docs/commands.md is what the code does.
func TestCommandsPage(t *testing.T) {
	const path = "../../docs/commands.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin = "<!-- begin commands -->\n"
	before, have, ok := strings.Cut(string(page), begin)
	if !ok {
		t.Fatalf("%s has no line %q", path, begin)
	}
	var want strings.Builder
	for _, cmd := range newRootCommand().Commands() {
		if cmd.IsAvailableCommand() {
			writeCommand(&want, cmd)
		}
	}
	if have == want.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code does; run make golden. Want:\n%s", path, want.String())
	}
	if err := os.WriteFile(path, []byte(before+begin+want.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hasManyFlags tells commands whose flags docs/configuration.md lists.
func hasManyFlags(cmd *cobra.Command) bool { return cmd.Flags().Lookup("node-name") != nil }

func writeCommand(w *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), cmd.Long, strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	flags := strings.TrimRight(cmd.LocalNonPersistentFlags().FlagUsagesWrapped(90), "\n")
	switch {
	case hasManyFlags(cmd):
		fmt.Fprint(w, "\n[configuration.md](configuration.md) lists its flags.\n")
	case flags != "":
		fmt.Fprintf(w, "\n```\n%s\n```\n", flags)
	}
}
