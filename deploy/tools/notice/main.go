// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command notice writes NOTICE, which lists the Go modules in the programs of the image
// with their licences and repeats the texts that have to go with a copy. With -check it
// writes nothing, and reports a stale file.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"fairlead/deploy/tools/internal/deps"
	"fairlead/deploy/tools/internal/oci"
)

// allowed are the licences that Apache-2.0 code may be linked with, and published.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := flag.String("root", "../..", "directory of the agent's module")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(ctx, *root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check bool) error {
	modules, err := deps.Find(ctx, oci.Programs(root)...)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range modules {
		for id := range strings.SplitSeq(m.License, " AND ") {
			if !slices.Contains(allowed, id) {
				errs = append(errs, fmt.Errorf("module %s: licence %s is not one of %s", m.Path, id, strings.Join(allowed, ", ")))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	file, text := filepath.Join(root, "NOTICE"), notice(modules)
	if !check {
		return os.WriteFile(file, text, 0o644)
	}
	have, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(have, text) {
		err = fmt.Errorf("%s is not what go.mod asks for: run make notice", file)
	}
	return err
}

const head = `fairlead
Copyright The fairlead authors

Licensed under the Apache License, Version 2.0: see LICENSE.

The programs /fairlead and /opt/cni/bin/* of the image contain the Go modules below. Their
licences and notices follow the list. "make notice" writes this file.

`

// notice returns the list, and each text once with the modules that it belongs to.
func notice(modules []deps.Module) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	owners := map[string][]string{}
	var order []string
	for _, m := range modules {
		// The Go release is that of the builder, and not of the source.
		name := strings.TrimSpace(m.Path + " " + m.Version)
		if m.Path == deps.StandardLibrary {
			name = "Go standard library"
		}
		fmt.Fprintf(&b, "%s (%s)\n", name, m.License)
		for _, t := range m.Texts {
			key := normal(t.Content)
			if owners[key] == nil {
				order = append(order, key)
			}
			owners[key] = append(owners[key], name+", "+t.Name)
		}
	}
	for _, key := range order {
		fmt.Fprintf(&b, "\n%s\n", strings.Repeat("=", 80))
		for _, o := range owners[key] {
			fmt.Fprintf(&b, "%s\n", o)
		}
		fmt.Fprintf(&b, "%s\n\n%s\n", strings.Repeat("-", 80), key)
	}
	return b.Bytes()
}

// normal drops what is different in texts that are the same.
func normal(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, strings.TrimRight(line, " \t"))
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
