// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package chart loads, renders and packs deploy/chart with Helm as a library, so that
// no other program is needed.
package chart

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

// NoImage stands for an image in plain manifests. RFC 2606 reserves its domain, so
// no registry can have that name.
const NoImage = "fairlead.invalid/fairlead"

// Chart is deploy/chart.
type Chart struct{ c *chart.Chart }

// Load reads the chart from its directory.
func Load(dir string) (*Chart, error) {
	c, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	return &Chart{c}, nil
}

// AppVersion returns the version of the agent that the chart installs, with its "v".
func (c *Chart) AppVersion() string { return c.c.Metadata.AppVersion }

// SetVersion makes the chart one of another version, such as v1.2.3 or
// v1.2.3-rc.1+build.
func (c *Chart) SetVersion(version string) error {
	number, ok := strings.CutPrefix(version, "v")
	if !ok {
		return fmt.Errorf("version %q does not begin with v", version)
	}
	c.c.Metadata.Version = number
	// An image tag may not contain "+", and templates use appVersion as the tag.
	c.c.Metadata.AppVersion = Tag(version)
	return c.c.Validate()
}

// Tag returns the image tag of a version: "+" is not allowed in tags.
func Tag(version string) string { return strings.ReplaceAll(version, "+", "-") }

// Release is what `helm install` is told besides values.
type Release struct {
	Namespace string   // kube-system when empty
	APIs      []string // API versions that the cluster has besides Kubernetes' own
}

// Render returns all objects as one YAML stream, in the order in which Helm installs
// them. Values override those of the chart. Values that the schema refuses, and names
// that templates misspell, are errors.
func (c *Chart) Render(values map[string]any, r Release) ([]byte, error) {
	_, manifests, err := c.sorted(values, r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, m := range manifests {
		fmt.Fprintf(&b, "---\n%s\n", strings.TrimSpace(m.Content))
	}
	return b.Bytes(), nil
}

// Tests returns the objects of `helm test` as one YAML stream, in the order in which Helm
// makes them.
func (c *Chart) Tests(values map[string]any, r Release) ([]byte, error) {
	hooks, _, err := c.sorted(values, r)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(hooks, func(a, b *release.Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	var b bytes.Buffer
	for _, h := range hooks {
		if slices.Contains(h.Events, release.HookTest) {
			fmt.Fprintf(&b, "---\n%s\n", strings.TrimSpace(h.Manifest))
		}
	}
	return b.Bytes(), nil
}

// sorted returns what Helm makes at a test and at other events, and at an installation.
func (c *Chart) sorted(values map[string]any, r Release) ([]*release.Hook, []releaseutil.Manifest, error) {
	files, err := c.files(values, r)
	if err != nil {
		return nil, nil, err
	}
	for name := range files {
		if !strings.HasSuffix(name, ".yaml") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, nil, fmt.Errorf("sort objects: %w", err)
	}
	return hooks, manifests, nil
}

// Notes returns what `helm install` prints in the end.
func (c *Chart) Notes(values map[string]any, r Release) (string, error) {
	files, err := c.files(values, r)
	return files[path.Join(c.c.Name(), "templates", "NOTES.txt")], err
}

func (c *Chart) files(values map[string]any, r Release) (map[string]string, error) {
	opts := chartutil.ReleaseOptions{Name: "fairlead", Namespace: cmp.Or(r.Namespace, "kube-system"), Revision: 1, IsInstall: true}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.APIVersions = append(caps.APIVersions, r.APIs...)
	// Rendering must not change the chart's own maps, which are merged in place.
	copied, err := clone(values)
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c.c, copied, opts, caps)
	if err != nil {
		return nil, fmt.Errorf("merge values: %w", err)
	}
	files, err := engine.Engine{Strict: true}.Render(c.c, all)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	return files, nil
}

func clone(values map[string]any) (out map[string]any, err error) {
	text, err := yaml.Marshal(values)
	return out, errors.Join(err, yaml.Unmarshal(text, &out))
}

// Pack writes the chart as `helm package` does, but with one time for all files, so
// that the same chart gives the same bytes.
func (c *Chart) Pack(w io.Writer, at time.Time) error {
	meta, err := yaml.Marshal(c.c.Metadata)
	if err != nil {
		return err
	}
	files := []*chart.File{{Name: chartutil.ChartfileName, Data: meta}}
	for _, f := range c.c.Raw {
		if f.Name != chartutil.ChartfileName {
			files = append(files, f)
		}
	}
	slices.SortFunc(files[1:], func(a, b *chart.File) int { return cmp.Compare(a.Name, b.Name) })
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: path.Join(c.c.Name(), f.Name), Mode: 0o644, Size: int64(len(f.Data)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.Data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// Pin makes the image with the given digest the chart's default.
func (c *Chart) Pin(digest string) error {
	const was = "\n  digest: \"\"\n"
	for _, f := range slices.Concat(c.c.Raw, c.c.Templates) {
		if f.Name != chartutil.ValuesfileName {
			continue
		}
		if strings.Count(string(f.Data), was) != 1 {
			return errors.New("values.yaml has no line of an empty image.digest")
		}
		f.Data = []byte(strings.Replace(string(f.Data), was, "\n  digest: "+digest+"\n", 1))
		return yaml.Unmarshal(f.Data, &c.c.Values)
	}
	return errors.New("the chart has no values.yaml")
}
