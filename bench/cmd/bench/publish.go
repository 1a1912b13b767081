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

// publishTo puts report.md of a run into docs/performance.md, and its plots into
// docs/pictures.
func publishTo(run, docs string) error {
	text, err := os.ReadFile(filepath.Join(run, "report.md"))
	if err != nil {
		return fmt.Errorf("read report: %w; run \"make bench\"", err)
	}
	page := filepath.Join(docs, "performance.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	plots, err := filepath.Glob(filepath.Join(run, "*.svg"))
	if err != nil {
		return err
	}
	shown := string(text)
	for _, p := range plots {
		name := filepath.Base(p)
		shown += fmt.Sprintf("\n![Plot of %s against the number of Services](pictures/bench-%s)\n", strings.TrimSuffix(name, ".svg"), name)
	}
	fresh, err := replaced(string(old), shown)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	errs := []error{os.WriteFile(page, []byte(fresh), 0o644)}
	for _, p := range plots {
		b, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(docs, "pictures", "bench-"+filepath.Base(p)), b, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// replaced is a page with another text between its marks.
func replaced(page, text string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q are missing", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}
