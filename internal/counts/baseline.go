// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package counts

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const header = `# What actions cost. Tests fail on a count that grows by more than 5 %, and by 1 if it is
# below 20. "make counts" rewrites the file; a commit that makes a count grow says why.
`

// accepted is the largest count that a baseline accepts.
func accepted(base int) int {
	if base < 20 {
		return base
	}
	return base + base/20
}

// Compare returns an error for each count that grew beyond the baseline in a file, and for
// each action that only one of both has. With update it writes the baseline instead.
func Compare(path string, got Costs, update bool) error {
	if update {
		return os.WriteFile(path, []byte(got.text()), 0o644)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read baseline: %w", err)
	}
	base, err := parse(string(b))
	if err != nil {
		return fmt.Errorf("parse baseline %s: %w", path, err)
	}
	var errs []error
	for _, action := range got.actions() {
		old, ok := base[action]
		if !ok {
			errs = append(errs, fmt.Errorf("%q is not in the baseline", action))
			continue
		}
		for k := range kinds {
			if most := accepted(old[k]); got[action][k] > most && k.counted() {
				errs = append(errs, fmt.Errorf("%s of %q grew from %d to %d, at most %d are accepted", k, action, old[k], got[action][k], most))
			}
		}
	}
	for _, action := range base.actions() {
		if _, ok := got[action]; !ok {
			errs = append(errs, fmt.Errorf("%q is in the baseline only", action))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, fmt.Errorf("if that is worth it, run \"make counts\", commit %s, and say why in the message", path))
	}
	return errors.Join(errs...)
}

// Lower returns the counts that are so far below the baseline in a file that it no longer
// guards them, one a line.
func Lower(path string, got Costs) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	base, err := parse(string(b))
	if err != nil {
		return ""
	}
	var out strings.Builder
	for _, action := range got.actions() {
		for k := range kinds {
			if old, is := base[action][k], got[action][k]; old > accepted(is) && k.counted() {
				fmt.Fprintf(&out, "%s of %q fell from %d to %d; \"make counts\" keeps it there\n", k, action, old, is)
			}
		}
	}
	return out.String()
}

// text has one line for each action.
func (c Costs) text() string {
	var out strings.Builder
	out.WriteString(header)
	for _, action := range c.actions() {
		fmt.Fprintf(&out, "%s:", action)
		for k := range kinds {
			sep := ","
			if k == 0 {
				sep = ""
			}
			fmt.Fprintf(&out, "%s %s %d", sep, k, c[action][k])
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func parse(text string) (Costs, error) {
	out := Costs{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		action, rest, ok := strings.Cut(line, ": ")
		fields := strings.Split(rest, ", ")
		if _, twice := out[action]; twice || !ok || len(fields) != int(kinds) {
			return nil, fmt.Errorf("line %q is not an action with %d counts, or not the first of it", line, kinds)
		}
		var cost Cost
		for k, field := range fields {
			value, ok := strings.CutPrefix(field, Kind(k).String()+" ")
			n, err := strconv.Atoi(value)
			if !ok || err != nil {
				return nil, fmt.Errorf("line %q: %q is not a number of %s", line, field, Kind(k))
			}
			cost[k] = n
		}
		out[action] = cost
	}
	return out, nil
}
