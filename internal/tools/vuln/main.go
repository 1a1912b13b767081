// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command vuln lays out Go's database of vulnerabilities for govulncheck without a
// network other than the Go module proxy: the module golang.org/x/vulndb contains all
// reports, and govulncheck wants them in the layout of https://vuln.go.dev.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	version := flag.String("version", "latest", "version of golang.org/x/vulndb")
	out := flag.String("out", "", "directory to write the database to")
	flag.Parse()
	if err := run(ctx, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "vuln:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version, out string) error {
	if out == "" {
		return errors.New("set -out")
	}
	dir, err := download(ctx, version)
	if err != nil {
		return fmt.Errorf("download golang.org/x/vulndb@%s: %w", version, err)
	}
	return convert(filepath.Join(dir, "data", "osv"), out)
}

// download returns the directory of the module in Go's cache.
func download(ctx context.Context, version string) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", "golang.org/x/vulndb@"+version).Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(text, &answer); jsonErr != nil {
		return "", errors.Join(err, jsonErr)
	}
	if answer.Error != "" {
		return "", errors.New(answer.Error)
	}
	return answer.Dir, err
}

// entry is what the indexes need of a report in the OSV format.
type entry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

// The indexes of the database, version 1: https://go.dev/doc/security/vuln/database#api
type (
	dbIndex struct {
		Modified time.Time `json:"modified"`
	}
	moduleIndex struct {
		Path  string       `json:"path"`
		Vulns []moduleVuln `json:"vulns"`
	}
	moduleVuln struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	vulnIndex struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Aliases  []string  `json:"aliases,omitempty"`
	}
)

// convert copies the reports in dir to out/ID, and writes the indexes beside them.
func convert(dir, out string) error {
	files, err := filepath.Glob(filepath.Join(dir, "GO-*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no reports", dir)
	}
	for _, sub := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(out, sub), 0o755); err != nil {
			return err
		}
	}
	var db dbIndex
	var vulns []vulnIndex
	modules := map[string]*moduleIndex{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		if err := os.WriteFile(filepath.Join(out, "ID", e.ID+".json"), text, 0o644); err != nil {
			return err
		}
		if e.Modified.After(db.Modified) {
			db.Modified = e.Modified
		}
		vulns = append(vulns, vulnIndex{e.ID, e.Modified, e.Aliases})
		index(modules, &e)
	}
	sorted := slices.SortedFunc(maps.Values(modules), func(a, b *moduleIndex) int { return cmp.Compare(a.Path, b.Path) })
	for name, v := range map[string]any{"db": db, "vulns": vulns, "modules": sorted} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, "index", name+".json"), text, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d reports about %d modules, the newest of %s\n", len(files), len(modules), db.Modified.Format(time.DateOnly))
	return nil
}

// index adds what e says about each module: the version that fixes all of it, if any.
func index(modules map[string]*moduleIndex, e *entry) {
	for _, a := range e.Affected {
		m := modules[a.Package.Name]
		if m == nil {
			m = &moduleIndex{Path: a.Package.Name}
			modules[a.Package.Name] = m
		}
		fixed := ""
		for _, r := range a.Ranges {
			for _, event := range r.Events {
				if event.Fixed != "" && (fixed == "" || semver.Compare("v"+event.Fixed, "v"+fixed) > 0) {
					fixed = strings.TrimPrefix(event.Fixed, "v")
				}
			}
		}
		if i := slices.IndexFunc(m.Vulns, func(v moduleVuln) bool { return v.ID == e.ID }); i >= 0 {
			continue // the same report has another range for the module
		}
		m.Vulns = append(m.Vulns, moduleVuln{e.ID, e.Modified, fixed})
	}
}
