// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in the image.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// PlatformImage is the image of one platform, and the sizes of its two layers in bytes,
// unpacked and packed.
type PlatformImage struct {
	v1.Image
	Platform                 v1.Platform
	Agent, Plugins           int64
	AgentLayer, PluginsLayer int64
}

// Assemble puts the plugins, which hardly ever change, below the agent.
func Assemble(o Options, platform string, files []File) (PlatformImage, error) {
	goos, arch, _ := strings.Cut(platform, "/")
	out := PlatformImage{Platform: v1.Platform{OS: goos, Architecture: arch}}
	if arch == "arm64" {
		out.Platform.Variant = "v8"
	}
	var agent, cni []File
	for _, f := range files {
		if path.Dir(f.Name) == pluginsDir {
			cni = append(cni, f)
		} else {
			agent = append(agent, f)
		}
	}
	bottom, packed, size, err := layer(cni)
	if err != nil {
		return out, err
	}
	out.Plugins, out.PluginsLayer = size, packed
	top, packed, size, err := layer(agent)
	if err != nil {
		return out, err
	}
	out.Agent, out.AgentLayer = size, packed

	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: bottom, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "CNI plugins"}},
		mutate.Addendum{Layer: top, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "fairlead"}})
	if err != nil {
		return out, fmt.Errorf("append layers: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return out, fmt.Errorf("read config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = out.Platform.OS, out.Platform.Architecture, out.Platform.Variant
	config.Created = v1.Time{Time: epoch()}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + agentPath},
		User:       "0:0", // a process of another user would not keep NET_ADMIN
		WorkingDir: "/",
		Labels:     o.labels(),
	}
	out.Image, err = mutate.ConfigFile(img, config)
	return out, err
}

// layer returns a layer of files that nobody may write to, owned by root, and
// its size packed and unpacked.
func layer(files []File) (l v1.Layer, packed, unpacked int64, err error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	for _, f := range files {
		content, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, 0, 0, err
		}
		for _, dir := range parents(f.Name) {
			if !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(header(dir+"/", tar.TypeDir, 0)); err != nil {
					return nil, 0, 0, err
				}
			}
		}
		if err := w.WriteHeader(header(f.Name, tar.TypeReg, int64(len(content)))); err != nil {
			return nil, 0, 0, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, 0, 0, err
		}
		unpacked += int64(len(content))
	}
	if err := w.Close(); err != nil {
		return nil, 0, 0, err
	}
	l, err = tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("pack layer: %w", err)
	}
	packed, err = l.Size()
	return l, packed, unpacked, err
}

func header(name string, kind byte, size int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Size: size, Mode: 0o555, ModTime: epoch(), Format: tar.FormatUSTAR}
}

// parents returns the directories above name, from the top.
func parents(name string) []string {
	var out []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		out = append([]string{dir}, out...)
	}
	return out
}
