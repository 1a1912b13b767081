// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package deps finds the Go modules that programs are made of, and their licences.
package deps

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
	"golang.org/x/mod/semver"
)

// Module is one that some program contains.
type Module struct {
	Path, Version string
	Sum           string // as in go.sum; empty for the Go distribution
	License       string // an SPDX expression
	Texts         []Text // the module's files of licences and notices
}

// Text is a file of a module.
type Text struct{ Name, Content string }

// StandardLibrary is the path that stands for the Go distribution.
const StandardLibrary = "std"

// Program names packages by the directory of the module that builds them.
type Program struct {
	Dir      string
	Packages []string
}

type key struct{ path, version, sum string }

// Find returns the modules of all programs, for Linux, without those that programs
// belong to, and the Go distribution. The list is sorted and has each module once.
func Find(ctx context.Context, programs ...Program) ([]Module, error) {
	goroot, err := goenv(ctx, "GOROOT")
	if err != nil {
		return nil, err
	}
	version, err := goenv(ctx, "GOVERSION")
	if err != nil {
		return nil, err
	}
	dirs := map[key]string{{path: StandardLibrary, version: strings.TrimPrefix(version, "go")}: goroot}
	for _, p := range programs {
		if err := list(ctx, p, dirs); err != nil {
			return nil, err
		}
	}
	c, err := assets.DefaultClassifier()
	if err != nil {
		return nil, fmt.Errorf("load licences: %w", err)
	}
	var out []Module
	var errs []error
	for k, dir := range dirs {
		m := Module{Path: k.path, Version: k.version, Sum: k.sum}
		if m.Texts, err = texts(dir); err == nil {
			m.License, err = license(c, m.Texts)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", m.Path, err))
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Module) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version))
	})
	return out, errors.Join(errs...)
}

func goenv(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", name).Output()
	return strings.TrimSpace(string(out)), err
}

// list adds the modules of a program, and their directories. The platform hardly
// matters: those of all platforms that we build for are the same.
func list(ctx context.Context, p Program, dirs map[key]string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-json=Module"}, p.Packages...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.Dir, append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS="), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list %s: %w", strings.Join(p.Packages, " "), err)
	}
	sums, err := readSums(filepath.Join(p.Dir, "go.sum"))
	if err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var entry struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := d.Decode(&entry); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m := entry.Module; m != nil && !m.Main {
			dirs[key{m.Path, m.Version, sums[m.Path+" "+m.Version]}] = m.Dir
		}
	}
}

// readSums returns the lines of a go.sum by path and version.
func readSums(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			out[f[0]+" "+f[1]] = f[2]
		}
	}
	return out, nil
}

// named are the files that have to go with a copy of the module.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([._-].*)?$`)

func texts(dir string) (out []Text, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !named.MatchString(e.Name()) || e.Type()&fs.ModeType != 0 {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, Text{e.Name(), strings.ReplaceAll(string(content), "\r\n", "\n")})
	}
	if len(out) == 0 {
		return nil, errors.New("it has no file of a licence")
	}
	return out, nil
}

// license returns an SPDX expression of what the texts are. A module of several
// licences has all of them, because files of each are linked.
func license(c *classifier.Classifier, texts []Text) (string, error) {
	var ids []string
	for _, t := range texts {
		for _, m := range c.Match([]byte(t.Content)).Matches {
			if m.MatchType == "License" && m.Confidence >= 0.9 && !slices.Contains(ids, m.Name) {
				ids = append(ids, m.Name)
			}
		}
	}
	if len(ids) == 0 {
		return "", errors.New("its licence is not known")
	}
	slices.Sort(ids)
	return strings.Join(ids, " AND "), nil
}
