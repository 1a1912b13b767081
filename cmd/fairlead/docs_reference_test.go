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
	"github.com/spf13/pflag"
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

func writeCommand(w *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), cmd.Long, strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	own := ownFlags(cmd)
	if flags := strings.TrimRight(own.FlagUsagesWrapped(90), "\n"); flags != "" {
		fmt.Fprintf(w, "\n```\n%s\n```\n", flags)
	}
	switch {
	case !hasManyFlags(cmd):
	case own.HasAvailableFlags():
		fmt.Fprint(w, "\n[configuration.md](configuration.md) lists its other flags, which are those of the agent.\n")
	default:
		fmt.Fprint(w, "\n[configuration.md](configuration.md) lists its flags.\n")
	}
}

// hasManyFlags tells commands that have flags of the agent, which docs/configuration.md
// lists.
func hasManyFlags(cmd *cobra.Command) bool { return cmd.Flags().Lookup("node-name") != nil }

// ownFlags returns the flags of a command that docs/configuration.md does not list.
func ownFlags(cmd *cobra.Command) *pflag.FlagSet {
	out := pflag.NewFlagSet("", pflag.ContinueOnError)
	agent := newRunCommand().Flags()
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !hasManyFlags(cmd) || agent.Lookup(f.Name) == nil && cmd.Name() != "render" {
			out.AddFlag(f)
		}
	})
	return out
}
