// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command manifests renders deploy/chart into plain manifests, as `helm template`
// does but without the program, so that there is one source for both:
// fairlead.yaml is in place of kube-proxy, fairlead-network.yaml in place of flannel
// as well. With -check it writes nothing, and says whether a file is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	out := flag.String("out", "..", "directory of the manifests")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*chart, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

// manifests returns the values of each manifest, besides those of the chart. The
// network is that of flannel's and kubeadm's manuals.
func manifests() map[string]map[string]any {
	vxlan := map[string]any{"Network": "10.244.0.0/16", "Backend": map[string]any{"Type": "vxlan"}}
	return map[string]map[string]any{
		"fairlead.yaml":         nil,
		"fairlead-network.yaml": {"network": vxlan},
	}
}

func run(chart, dir string, check bool) error {
	var errs []error
	for name, values := range manifests() {
		text, err := render(chart, values)
		if err == nil {
			err = write(filepath.Join(dir, name), text, check)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func write(out string, want []byte, check bool) error {
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
