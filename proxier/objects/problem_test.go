// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestProblemText has an object quote itself in a problem: the text is one line, moves no
// cursor, and is short.
func TestProblemText(t *testing.T) {
	for in, want := range map[string]string{
		`"x" is not a CIDR`:          `"x" is not a CIDR`,
		"one\ntwo":                   "one; two",
		"a\x1b[2Jb\x00":              `a\x1b[2Jb\x00`,
		"a\u202eb":                   `a\u202eb`,
		"\xff\xfe":                   `\xff\xfe`,
		`"\xff" and ` + "\r":         `"\\xff" and \r`,
		"caf\u00e9":                  "caf\u00e9",
		strings.Repeat("a", 1024):    strings.Repeat("a", 1024),
		strings.Repeat("a", 1025):    strings.Repeat("a", 1021) + "...",
		strings.Repeat("a", 1<<20):   strings.Repeat("a", 1021) + "...",
		strings.Repeat("\x1b", 2000): strings.Repeat(`\x1b`, 255) + `\...`,
	} {
		r := NewReport(KindNode, "n")
		r.Add("", "%s", in)
		if got := r.Problems[0].Text; got != want {
			t.Errorf("%.40q becomes %q, want %q", in, got, want)
		}
	}
}

// TestPrintable bounds names, which only a file can make longer than the API server does.
func TestPrintable(t *testing.T) {
	for _, in := range []string{strings.Repeat("n", 1<<20), strings.Repeat("\u20ac", 1000), strings.Repeat("\x1b", 1000)} {
		got := Printable(in)
		if len(got) > 4*maxName+2 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\n") {
			t.Errorf("%.20q... becomes %d bytes: %.40q", in, len(got), got)
		}
	}
}

// TestPrintablePlain: a name that is not quoted is the same as a quoted one without quotes.
func TestPrintablePlain(t *testing.T) {
	for r := range rune(0x300) {
		name := "a" + string(r) + "b"
		if got := Printable(name); got != name && got != strconv.Quote(name) || (got == name) != (strconv.Quote(name) == `"`+name+`"`) {
			t.Errorf("%q is printed as %s", name, got)
		}
	}
	if n := testing.AllocsPerRun(10, func() { Printable("default/web-5d4f8c") }); n > 0 {
		t.Errorf("a plain name takes %v allocations", n)
	}
}
