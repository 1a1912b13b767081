// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"
)

// hostile has what a terminal acts on: escape sequences of both kinds, a title, a
// direction, tabs and ends of lines, and bytes that are no text.
const hostile = "a\x1b[2J\u009b31m\u202eb\a\r\n\tc\x80\U000e0041"

// TestClean: no format lets anything through that a terminal acts on, and JSON stays
// what it was.
func TestClean(t *testing.T) {
	table := &Table{Titles: []string{"NAME", "X"}, Rows: [][]string{{hostile, ""}, {"é 世", "y"}}}
	r := &Result{Text: table, Value: map[string][]string{hostile: {hostile, "é 世 <b>"}}}
	for _, format := range Formats() {
		var b bytes.Buffer
		f := Flags{Format: format}
		err := f.Run(t.Context(), &b, &b, func(context.Context) (*Result, error) { return r, nil })
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		for _, c := range b.String() {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("%s lets %q through:\n%s", format, c, b.String())
			}
		}
		if !strings.Contains(b.String(), "é 世") {
			t.Errorf("%s spoils text:\n%s", format, b.String())
		}
		switch format {
		case "json":
			var back map[string][]string
			if err := json.Unmarshal(b.Bytes(), &back); err != nil || back[strings.ToValidUTF8(hostile, "\ufffd")][1] != "é 世 <b>" {
				t.Errorf("JSON: %v, %q", err, back)
			}
		case "yaml":
			if err := yaml.Unmarshal(b.Bytes(), &map[string][]string{}); err != nil {
				t.Errorf("YAML: %v\n%s", err, b.String())
			}
		}
	}
	if got, want := Clean(hostile), `a\x1b[2J\u009b31m\u202eb\a\r\n\tc\x80\U000e0041`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTable(t *testing.T) {
	table := &Table{Titles: []string{"A", "B", "C"}, Wide: 1, Empty: "There is nothing."}
	var b bytes.Buffer
	if err := table.Print(&b, true); err != nil || b.String() != "There is nothing.\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	table.Add("1", "", "3")
	b.Reset()
	if err := table.Print(&b, false); err != nil || b.String() != "A  B\n1  -\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	b.Reset()
	if err := table.Print(&b, true); err != nil || b.String() != "A  B  C\n1  -  3\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestValidate(t *testing.T) {
	for f, want := range map[Flags]string{
		{Format: "xml"}: `--output: "xml" is not table, wide, json, yaml`,
		{Format: "json", Watch: true, Interval: 1}:       "--interval: 1ns is less than 100ms",
		{Format: "yaml", Watch: true, Interval: 1 << 40}: "",
	} {
		if err := f.Validate(); err != nil && err.Error() != want || err == nil && want != "" {
			t.Errorf("%v: %v, want %q", f, err, want)
		}
	}
}

// TestWatch prints what changed and repeats what failed, each once.
func TestWatch(t *testing.T) {
	out, problems := watch(t, "yaml")
	if out != "a\n---\nb\n" || problems != "fairlead: lost \\x1b\n" {
		t.Errorf("prints %q and %q", out, problems)
	}
	out, _ = watch(t, "table")
	if lines := strings.Split(out, "\n"); len(lines) != 6 || !strings.HasPrefix(lines[0], "# ") || lines[1] != "a" || lines[4] != "b" {
		t.Errorf("prints %q", out)
	}
}

// watch prints values that come and go, until the last one.
func watch(t *testing.T, format string) (out, problems string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	values := []string{"a", "a", "", "", "b", "b"}
	n := 0
	read := func(context.Context) (*Result, error) {
		if n == len(values) {
			cancel()
			return nil, errors.New("ends")
		}
		v := values[n]
		n++
		if v == "" {
			return nil, errors.New("lost \x1b")
		}
		return &Result{Value: v, Text: &Table{Titles: []string{v}}}, nil
	}
	var o, p bytes.Buffer
	f := Flags{Format: format, Watch: true, Interval: time.Millisecond}
	if err := f.Run(ctx, &o, &p, read); err != nil {
		t.Fatal(err)
	}
	return o.String(), p.String()
}
