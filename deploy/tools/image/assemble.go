// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

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

// platformImage is the image of one platform, and the sizes of its two layers,
// unpacked and packed.
type platformImage struct {
	v1.Image
	platform                 v1.Platform
	agent, plugins           int64
	agentLayer, pluginsLayer int64
}

// assemble puts the plugins, which hardly ever change, below the agent.
func assemble(platform, version string, files []file) (platformImage, error) {
	goos, arch, _ := strings.Cut(platform, "/")
	out := platformImage{platform: v1.Platform{OS: goos, Architecture: arch}}
	if arch == "arm64" {
		out.platform.Variant = "v8"
	}
	var agent, cni []file
	for _, f := range files {
		if f.name == agentPath {
			agent = append(agent, f)
		} else {
			cni = append(cni, f)
		}
	}
	bottom, packed, size, err := layer(cni)
	if err != nil {
		return out, err
	}
	out.plugins, out.pluginsLayer = size, packed
	top, packed, size, err := layer(agent)
	if err != nil {
		return out, err
	}
	out.agent, out.agentLayer = size, packed

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
	config.OS, config.Architecture, config.Variant = out.platform.OS, out.platform.Architecture, out.platform.Variant
	config.Created = v1.Time{Time: epoch()}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + agentPath},
		User:       "0:0", // a process of another user would not keep NET_ADMIN
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "fairlead",
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	out.Image, err = mutate.ConfigFile(img, config)
	return out, err
}

// layer returns a layer of files that nobody may write to, owned by root, and
// its size packed and unpacked.
func layer(files []file) (l v1.Layer, packed, unpacked int64, err error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	for _, f := range files {
		content, err := os.ReadFile(f.source)
		if err != nil {
			return nil, 0, 0, err
		}
		for _, dir := range parents(f.name) {
			if !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(header(dir+"/", tar.TypeDir, 0)); err != nil {
					return nil, 0, 0, err
				}
			}
		}
		if err := w.WriteHeader(header(f.name, tar.TypeReg, int64(len(content)))); err != nil {
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
