// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/nstest"
)

// Each driver prints what a shell completes for the words in $WORDS, of which the last one
// is not finished. The scripts are those that fairlead completion prints.
const (
	bashDriver = `
source /usr/share/bash-completion/bash_completion
source <(fairlead completion bash)
f=$(complete -p fairlead | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
COMP_LINE="$WORDS" COMP_POINT=${#WORDS} COMP_TYPE=9 COMP_KEY=9
IFS=' ' read -r -a COMP_WORDS <<<"$WORDS"
[[ $WORDS != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
$f
printf '%s\n' "${COMPREPLY[@]}"
`
	zshDriver = `
autoload -U compinit && compinit -u -d "$HOME/dump"
source <(fairlead completion zsh)
words=("${(@s/ /)WORDS}")
CURRENT=$#words
_describe() { while [[ $1 == -* ]]; do shift; done; local name=$2; print -l -- ${(P)name} }
_arguments() { return 1 }
_fairlead
`
	fishDriver = `
fairlead completion fish | source
complete -C "$WORDS" | string replace -r '\t.*' ''
true
`
)

// shell returns a command of a shell that finds this test binary as fairlead.
func shell(t *testing.T, dir, words, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir, "WORDS="+words, "TERM=dumb")
	out, err := cmd.Output() // bash says that it has no line to complete
	return string(out), err
}

// TestCompletionInShells asks real shells for namespaces, Services, Nodes and Pods, as a
// user with the Tab key does.
func TestCompletionInShells(t *testing.T) {
	nstest.Long(t, "TestCompletion completes with the same code, and without shells")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, bundle := t.TempDir(), emptyBundle(t)
	script := fmt.Sprintf("#!/bin/sh\nFAIRLEAD_COMMAND=1 exec %s \"$@\"\n", self)
	if err := os.WriteFile(filepath.Join(dir, "fairlead"), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "objects.json"), []byte(completions), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(words string) (string, error){
		"bash": func(words string) (string, error) {
			if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err != nil {
				t.Skip("bash-completion is not installed: make deps")
			}
			return shell(t, dir, words, "bash", "--norc", "--noprofile", "-c", bashDriver)
		},
		"zsh":  func(words string) (string, error) { return shell(t, dir, words, "zsh", "-f", "-c", zshDriver) },
		"fish": func(words string) (string, error) { return shell(t, dir, words, "fish", "-c", fishDriver) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skipf("%s is not installed: make deps", name)
			}
			for words, want := range map[string]string{
				"get services ":                       "default/ kube-system/",
				"get endpoints kube":                  "kube-system/dns",
				"get services default/":               "default/web default/webhook",
				"get services default/webh":           "default/webhook",
				"get nodes n":                         "node-1",
				"get hostports ":                      "default/web-0",
				"explain default/web":                 "default/web default/webhook",
				"explain default/web --from default/": "default/web-0",
				"explain default/web --from ":         "default/ node node-1 outside pod",
				"trace default/webh":                  "default/webhook",
			} {
				command, rest, _ := strings.Cut(words, " ")
				out, err := run("fairlead " + command + " --bundle " + bundle + " " + rest)
				if command == "trace" {
					out, err = run("fairlead " + command + " --manifests " + filepath.Join(bundle, "objects.json") + " " + rest)
				}
				got := strings.Fields(out)
				slices.Sort(got)
				if err != nil || strings.Join(slices.Compact(got), " ") != want {
					t.Errorf("fairlead %s completes %q, %v; want %q", words, got, err, want)
				}
			}
		})
	}
}
