// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The report stands between these lines of performance.md.
const (
	begin = "<!-- The next part is written by make bench-publish. -->\n"
	end   = "<!-- Here ends what make bench-publish writes. -->\n"
)

// The short table and the main plot stand between these lines of README.md.
const (
	beginShort = "<!-- The next table is written by make bench-publish. -->\n"
	endShort   = "<!-- Here ends the table of make bench-publish. -->\n"
)

// Files of a report beside the samples and plots.
const (
	reportFile  = "report.md"
	summaryFile = "summary.md"
	mainPlot    = "update.svg"
)

// publishTo puts the report of a run into docs/performance.md, its plots into
// docs/pictures, and its summary with the main plot into README.md beside docs.
func publishTo(run, docs string) error {
	text, err := os.ReadFile(filepath.Join(run, reportFile))
	if err != nil {
		return fmt.Errorf("read report: %w; run \"make bench\"", err)
	}
	short, err := os.ReadFile(filepath.Join(run, summaryFile))
	if err != nil {
		return fmt.Errorf("read summary: %w; run \"make bench\"", err)
	}
	plots, err := filepath.Glob(filepath.Join(run, "*.svg"))
	if err != nil {
		return err
	}
	shown := new(strings.Builder)
	shown.Write(text)
	for _, p := range plots {
		shown.WriteString("\n" + picture(filepath.Base(p), ""))
	}
	if _, err := os.Stat(filepath.Join(run, mainPlot)); err == nil {
		short = append(short, "\n"+picture(mainPlot, "docs/")...)
	}
	pictures := filepath.Join(docs, "pictures")
	errs := []error{
		rewrite(filepath.Join(docs, "performance.md"), begin, end, shown.String()),
		rewrite(filepath.Join(docs, "..", "README.md"), beginShort, endShort, string(short)),
		removeOld(pictures),
	}
	for _, p := range plots {
		b, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(pictures, prefix+filepath.Base(p)), b, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// prefix begins the names of all plots in docs/pictures.
const prefix = "bench-"

// removeOld removes the plots of the run before, some of which this one may not have.
func removeOld(pictures string) error {
	old, err := filepath.Glob(filepath.Join(pictures, prefix+"*.svg"))
	errs := []error{err}
	for _, p := range old {
		errs = append(errs, os.Remove(p))
	}
	return errors.Join(errs...)
}

// picture is the Markdown of a plot; docs is the way from the page to docs.
func picture(name, docs string) string {
	what := strings.ReplaceAll(strings.TrimSuffix(name, ".svg"), "-", " ")
	return fmt.Sprintf("![Plot: %s](%spictures/%s%s)\n", what, docs, prefix, name)
}

// rewrite replaces what stands between two lines of a page.
func rewrite(page, begin, end, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	fresh, err := replaced(string(old), begin, end, text)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(fresh), 0o644)
}

// replaced is a page with another text between two lines.
func replaced(page, begin, end, text string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q are missing", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}
