// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"os"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/state"
)

// TestPage prints the lines of fairlead status that the page about troubleshooting shows.
func TestPage(t *testing.T) {
	const page = "../../../docs/troubleshooting.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(text), "```\nAPI server")
	shown, _, closed := strings.Cut("API server"+shown, "```")
	if !found || !closed {
		t.Fatalf("%s shows no lines of fairlead status", page)
	}
	reached := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	got := statusText(t, &state.State{Time: reached.Add(3 * time.Hour), APIServer: &state.APIServer{
		URL: "https://10.0.0.1:6443", Reached: &reached,
		Watches: []state.Watch{{Kind: "endpointslices", SilentSeconds: 2, Revision: "88412"}, {Kind: "nodes", SilentSeconds: 31, Revision: "88377"}},
	}}, false)
	for line := range strings.SplitSeq(strings.TrimSpace(shown), "\n") {
		if line = strings.TrimSuffix(line, ", ..."); !strings.Contains(got, line+"\n") {
			t.Errorf("%s shows the line %q; the command prints\n%s", page, line, got)
		}
	}
}
