// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"fairlead/deploy/tools/internal/chart"
	"fairlead/deploy/tools/internal/deps"
	"fairlead/deploy/tools/internal/oci"
)

type options struct {
	oci.Options
	dir string // to write to
}

// release collects files on the way.
type release struct {
	options
	chart   *chart.Chart
	digest  string // of the image's index
	modules []deps.Module
	files   []artifact // without those that list the others
}

// artifact is a file of the release and its SHA-256 in hexadecimal digits.
type artifact struct{ name, sum string }

func run(ctx context.Context, o options) error {
	r := &release{options: o}
	notes, err := r.check()
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(o.dir), os.MkdirAll(o.dir, 0o755)); err != nil {
		return err
	}
	if r.modules, err = deps.Find(ctx, oci.Programs(o.Root)...); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.image, r.packChart, r.manifests, r.sbom} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := r.add("NOTES.md", []byte(notes)); err != nil {
		return err
	}
	if err := r.provenance(); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range r.files {
		fmt.Fprintf(&sums, "%s  %s\n", f.sum, f.name)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "SHA256SUMS"), sums.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s%s:%s@%s\n", sums.String(), o.Name, chart.Tag(o.Version), r.digest)
	return nil
}

// check refuses a version that chart or changelog do not know, and returns the notes.
func (r *release) check() (notes string, err error) {
	if !semver.IsValid(r.Version) || semver.Canonical(r.Version) != strings.SplitN(r.Version, "+", 2)[0] {
		return "", fmt.Errorf("version %q is not like v1.2.3 or v1.2.3-rc.1", r.Version)
	}
	if r.chart, err = chart.Load(filepath.Join(r.Root, "deploy", "chart")); err != nil {
		return "", err
	}
	core, _, _ := strings.Cut(strings.SplitN(r.Version, "+", 2)[0], "-")
	if app := r.chart.AppVersion(); app != core {
		return "", fmt.Errorf("deploy/chart/Chart.yaml has appVersion %s, which has to be %s for a release of %s", app, core, r.Version)
	}
	changes, err := os.ReadFile(filepath.Join(r.Root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	section := strings.TrimPrefix(core, "v")
	if semver.Prerelease(r.Version) != "" {
		section = "Unreleased"
	}
	notes, ok := changelog(string(changes), section)
	if !ok {
		return "", fmt.Errorf("CHANGELOG.md has no section %q", "## "+section)
	}
	return "# fairlead " + r.Version + "\n\n" + notes, r.chart.SetVersion(r.Version)
}

// changelog returns the section of a version, whose heading may go on with a date.
func changelog(text, version string) (section string, ok bool) {
	for part := range strings.SplitSeq("\n"+text, "\n## ") {
		heading, body, _ := strings.Cut(part, "\n")
		if name, _, _ := strings.Cut(strings.Trim(heading, "[]"), " "); strings.Trim(name, "[]") == version {
			return strings.TrimSpace(body) + "\n", true
		}
	}
	return "", false
}

// image builds for all platforms once, and writes a program each and the image.
func (r *release) image(ctx context.Context) error {
	tmp, err := os.MkdirTemp("", "fairlead-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	r.Out = filepath.Join(r.dir, "fairlead-"+r.Version+"-image.tar")
	var images []oci.PlatformImage
	for _, p := range r.Platforms {
		files, err := oci.Build(ctx, r.Options, p, filepath.Join(tmp, filepath.FromSlash(p)))
		if err != nil {
			return fmt.Errorf("build for %s: %w", p, err)
		}
		img, err := oci.Assemble(r.Options, p, files)
		if err != nil {
			return fmt.Errorf("assemble for %s: %w", p, err)
		}
		images = append(images, img)
		text, err := archive(files)
		if err != nil {
			return err
		}
		if err := r.add("fairlead-"+r.Version+"-"+strings.ReplaceAll(p, "/", "-")+".tar.gz", text); err != nil {
			return err
		}
	}
	digest, err := oci.Write(r.Options, images, tmp)
	if err != nil {
		return err
	}
	r.digest = digest.String()
	return r.sum(filepath.Base(r.Out))
}

// packChart writes the chart, which pulls exactly the image of this release.
func (r *release) packChart(context.Context) error {
	if err := r.chart.Pin(r.digest); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.chart.Pack(&b, time.Unix(0, 0)); err != nil {
		return err
	}
	return r.add("fairlead-"+strings.TrimPrefix(r.Version, "v")+".tgz", b.Bytes())
}

// manifests writes plain manifests, whose image is pinned by the chart.
func (r *release) manifests(context.Context) error {
	for base, values := range chart.Bases() {
		values["image"] = map[string]any{"repository": r.Name}
		text, err := r.chart.Render(values, chart.Release{})
		if err != nil {
			return err
		}
		if err := r.add("fairlead-"+base+".yaml", text); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) add(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o644); err != nil {
		return err
	}
	return r.sum(name)
}

// sum notes a file that is there. Files stay sorted by name.
func (r *release) sum(name string) error {
	content, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return err
	}
	hash := sha256.Sum256(content)
	r.files = insert(r.files, artifact{name, hex.EncodeToString(hash[:])})
	return nil
}
