// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// pretend returns files that look as if somebody else had made them at another time.
func pretend(t *testing.T, mode os.FileMode, at time.Time) []File {
	t.Helper()
	dir := t.TempDir()
	var out []File
	for _, name := range []string{agentPath, pluginsDir + "/bridge", pluginsDir + "/ptp"} {
		source := filepath.Join(dir, filepath.Base(name))
		if err := errors.Join(os.WriteFile(source, []byte("I am "+name), mode), os.Chtimes(source, at, at)); err != nil {
			t.Fatal(err)
		}
		out = append(out, File{name, source})
	}
	return out
}

// archiveOf writes an image of two platforms and returns the digest of the index
// and the file's bytes.
func archiveOf(t *testing.T, files []File) (v1.Hash, []byte) {
	t.Helper()
	o := Options{Out: filepath.Join(t.TempDir(), "image.tar"), Name: "docker.io/library/fairlead", Version: "v1.2.3+abc"}
	var images []PlatformImage
	for _, p := range []string{"linux/amd64", "linux/arm64"} {
		img, err := Assemble(o, p, files)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	digest, err := Write(o, images, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	return digest, data
}

func TestSameTwice(t *testing.T) {
	d1, a1 := archiveOf(t, pretend(t, 0o755, time.Unix(1e9, 0)))
	d2, a2 := archiveOf(t, pretend(t, 0o600, time.Unix(1.5e9, 0)))
	if d1 != d2 || !slices.Equal(a1, a2) {
		t.Errorf("digests %s and %s, archives of %d and %d bytes", d1, d2, len(a1), len(a2))
	}
}

// TestArchive unpacks an archive and looks at it as a runtime would.
func TestArchive(t *testing.T) {
	digest, data := archiveOf(t, pretend(t, 0o600, time.Now()))
	dir := t.TempDir()
	for r := tar.NewReader(strings.NewReader(string(data))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		name := filepath.Join(dir, h.Name)
		content, readErr := io.ReadAll(r)
		if err := errors.Join(err, readErr, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := top.IndexManifest()
	if err != nil || len(names.Manifests) != 1 || names.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/library/fairlead:v1.2.3-abc" {
		t.Fatalf("index.json: %+v, %v", names, err)
	}
	index, err := top.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Platform.String() != "linux/arm64/v8" {
		t.Fatalf("index: %+v, %v", m, err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || !slices.Equal(config.Config.Entrypoint, []string{"/fairlead"}) || config.Architecture != "amd64" || !config.Created.Equal(epoch()) {
		t.Errorf("config: %+v, %v", config, err)
	}
	checkFiles(t, img)
}

func checkFiles(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range layers {
		files, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(files); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			got = append(got, h.Name)
			if h.Mode&0o222 != 0 || h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(epoch()) {
				t.Errorf("%s: %+v", h.Name, h)
			}
		}
	}
	if want := []string{"opt/", "opt/cni/", "opt/cni/bin/", "opt/cni/bin/bridge", "opt/cni/bin/ptp", "fairlead"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// TestCopied copies an archive with skopeo, as people put it into a registry: the digest
// remains, because charts pin it.
func TestCopied(t *testing.T) {
	program, err := exec.LookPath("skopeo")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("skopeo is not installed: it is in Debian's package of that name")
		}
		t.Skip("skopeo is not installed: it is in Debian's package of that name")
	}
	digest, data := archiveOf(t, pretend(t, 0o600, time.Now()))
	dir, archive := t.TempDir(), filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(archive, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "copy", "--all", "oci-archive:"+archive, "oci:"+dir+":copy")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("skopeo: %v\n%s", err, out)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := top.IndexManifest(); err != nil || len(names.Manifests) != 1 || names.Manifests[0].Digest != digest {
		t.Errorf("the copy is %+v, %v, want %s", names, err, digest)
	}
}

// TestBuild compiles for this machine, twice: the same bytes, static, stripped,
// small enough, and they run.
func TestBuild(t *testing.T) {
	o := Options{Root: "../../../..", Version: "v9.9.9-test"}
	platform := "linux/" + runtime.GOARCH
	var digests [2]v1.Hash
	for i := range digests {
		files, err := Build(t.Context(), o, platform, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		img, err := Assemble(o, platform, files)
		if err != nil {
			t.Fatal(err)
		}
		if digests[i], err = img.Digest(); err != nil {
			t.Fatal(err)
		}
		if img.Agent > maxAgent || len(files) != 7 {
			t.Errorf("the agent has %d bytes; %d files", img.Agent, len(files))
		}
		for _, f := range files {
			if f.Name != "LICENSE" && f.Name != "NOTICE" {
				checkStatic(t, f.Source)
			}
		}
		if out, err := exec.CommandContext(t.Context(), files[0].Source, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "fairlead v9.9.9-test ") {
			t.Errorf("fairlead version: %s, %v", out, err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %s and %s", digests[0], digests[1])
	}
}

func checkStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) || f.Section(".symtab") != nil {
		t.Errorf("%s is not static, or not stripped", path)
	}
}

// TestLabels checks that the image and the index say what they are made of.
func TestLabels(t *testing.T) {
	o := Options{Version: "v1.2.3", Revision: "abc", Source: "https://git.example/fairlead"}
	img, err := Assemble(o, "linux/amd64", pretend(t, 0o600, time.Unix(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"version": "v1.2.3", "revision": "abc", "source": "https://git.example/fairlead", "licenses": "Apache-2.0"} {
		if got := config.Config.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, ok := (Options{}).labels()["org.opencontainers.image.source"]; ok {
		t.Error("an unknown source is named")
	}
}
