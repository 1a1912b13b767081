// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command manifests renders deploy/chart with its default values into the plain
// manifest deploy/fairlead.yaml, as `helm template` does but without the program,
// so that there is one source for both. With -check it writes nothing, and says
// whether the file is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
)

const header = `# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Generated from deploy/chart by "make manifests"; change it there.
`

func main() {
	chart := flag.String("chart", "../chart", "directory of the chart")
	out := flag.String("out", "../fairlead.yaml", "file to write")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*chart, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(dir, out string, check bool) error {
	want, err := render(dir, nil)
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(out, want, 0o644)
	}
	have, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return errors.New(out + " is not what the chart renders: run make manifests")
	}
	return nil
}

// render returns all objects of the chart as one YAML stream, in the order in
// which Helm installs them. Values overrides those of the chart.
func render(dir string, values map[string]any) ([]byte, error) {
	c, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	release := chartutil.ReleaseOptions{Name: "fairlead", Namespace: "kube-system", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("merge values: %w", err)
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	for name := range files {
		if strings.HasSuffix(name, ".tpl") {
			delete(files, name)
		}
	}
	_, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, fmt.Errorf("sort objects: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(header)
	for _, m := range manifests {
		fmt.Fprintf(&b, "---\n%s\n", strings.TrimSpace(m.Content))
	}
	return b.Bytes(), nil
}
