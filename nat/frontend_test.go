// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"strings"
	"testing"

	"fairlead/nat"
)

// TestComment lets no text end a comment early, begin a line or act on a terminal.
func TestComment(t *testing.T) {
	for in, want := range map[string]string{
		"default/web:http":               "default/web:http",
		`a" : goto drop, 1.2.3.4 "`:      "a? : goto drop, 1.2.3.4 ?",
		"a\nadd rule inet x y accept":    "a?add rule inet x y accept",
		"a\x00b":                         "a?b",
		"\x1b[2J\x1b]0;title\x07":        "?[2J?]0;title?",
		`a\"`:                            "a??",
		"caf\u00e9":                      "caf??",
		"\xff\x80":                       "??",
		strings.Repeat("n", 128):         strings.Repeat("n", 128),
		strings.Repeat("n", 129):         strings.Repeat("n", 125) + "...",
		strings.Repeat("\u00e9", 10_000): strings.Repeat("?", 125) + "...",
	} {
		got := nat.Comment(in)
		if got != want {
			t.Errorf("Comment(%q) = %q, want %q", in, got, want)
		}
		if again := nat.Comment(got); again != got {
			t.Errorf("Comment(%q) = %q, want it unchanged", got, again)
		}
	}
}
