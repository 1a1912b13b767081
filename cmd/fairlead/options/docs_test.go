// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/configuration.md")

// TestConfigurationPage: the tables of the page are what the code does.
func TestConfigurationPage(t *testing.T) {
	const path = "../../../docs/configuration.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for name, rows := range map[string][]string{"flags": flagRows(), "kube-proxy flags": hiddenRows(), "fields": fieldRows()} {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		table, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no table %q", path, name)
		}
		want := strings.Join(rows, "\n") + "\n"
		if table != want && !*update {
			t.Errorf("table %q of %s is not what the code does; run make golden. Want:\n%s", name, path, want)
		}
		text = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func flagRows() []string {
	cmd, _ := newRun()
	rows := []string{"| flag | default | |", "|---|---|---|"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			rows = append(rows, fmt.Sprintf("| `--%s` | %s | %s |", f.Name, code(f.DefValue), cell(f.Usage)))
		}
	})
	return rows
}

func code(s string) string {
	if s == "" || s == "[]" {
		return ""
	}
	return "`" + s + "`"
}

func hiddenRows() []string {
	rows := []string{"| flag of kube-proxy | |", "|---|---|"}
	var list []string
	for _, a := range aliases() {
		list = append(list, fmt.Sprintf("| `--%s` | honoured: is `--%s` |", a[0], a[1]))
	}
	for _, i := range ignoredFlags() {
		list = append(list, fmt.Sprintf("| `--%s` | warned: %s |", i.name, i.why))
	}
	for name, why := range refused() {
		list = append(list, fmt.Sprintf("| `--%s` | refused: %s |", name, why))
	}
	slices.Sort(list)
	return append(rows, list...)
}

func fieldRows() []string {
	rows := []string{"| field | |", "|---|---|"}
	for _, f := range fields() {
		what := "warned: " + f.why
		if f.flag != "" {
			what = "honoured: `--" + f.flag + "`"
		}
		if f.modes != nil {
			what += ", in mode " + strings.Join(f.modes, ", ")
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", f.path, what))
	}
	return rows
}
