// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command manifests renders deploy/chart into the bases of deploy/kustomize, so that
// charts and plain manifests have one source: proxy is in place of kube-proxy, network
// in place of flannel as well. With -check it writes nothing and reports stale files.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"fairlead/deploy/tools/internal/chart"
)

const header = `# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Generated from deploy/chart by "make manifests"; change it there.
`

func main() {
	dir := flag.String("chart", "../chart", "directory of the chart")
	out := flag.String("out", "../kustomize", "directory of the bases")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*dir, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(dir, out string, check bool) error {
	c, err := chart.Load(dir)
	if err != nil {
		return err
	}
	var errs []error
	for base, values := range chart.Bases() {
		text, err := c.Render(values, chart.Release{})
		if err == nil {
			err = write(filepath.Join(out, base, "fairlead.yaml"), append([]byte(header), text...), check)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func write(file string, want []byte, check bool) error {
	if !check {
		return os.WriteFile(file, want, 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return errors.New(file + " is not what the chart renders: run make manifests")
	}
	return nil
}
