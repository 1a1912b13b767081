// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package oci builds the image of fairlead without a Docker daemon: the agent and the
// CNI plugins, static, on nothing (FROM scratch), as an OCI archive for all platforms.
// The same source and Go release give the same digest.
package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxAgent is the largest size of the agent's layer, unpacked, in bytes.
const maxAgent = 40 << 20

// Options say what to build, and what the image says about itself.
type Options struct {
	Root      string // directory of the agent's module
	Out       string // archive to write
	Name      string // of the image, without a tag
	Version   string // such as v1.2.3
	Revision  string // commit of the source; empty when unknown
	Source    string // URL of the source; empty when there is none
	Platforms []string
}

// labels are those of https://specs.opencontainers.org/image-spec/annotations/.
func (o Options) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	out := map[string]string{
		prefix + "title":       "fairlead",
		prefix + "description": "A Kubernetes node agent in place of kube-proxy and flannel, with one nftables table",
		prefix + "version":     o.Version,
		prefix + "licenses":    "Apache-2.0",
		prefix + "vendor":      "The fairlead authors",
	}
	for name, value := range map[string]string{"revision": o.Revision, "source": o.Source} {
		if value != "" {
			out[prefix+name] = value
		}
	}
	return out
}

// Run builds and writes the image, and returns the digest of its index. It reports
// sizes with say.
func Run(ctx context.Context, o Options, say func(format string, args ...any)) (v1.Hash, error) {
	dir, err := os.MkdirTemp("", "fairlead-image-")
	if err != nil {
		return v1.Hash{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	images := make([]PlatformImage, 0, len(o.Platforms))
	for _, platform := range o.Platforms {
		files, err := Build(ctx, o, platform, filepath.Join(dir, filepath.FromSlash(platform)))
		if err != nil {
			return v1.Hash{}, fmt.Errorf("build for %s: %w", platform, err)
		}
		img, err := Assemble(o, platform, files)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("assemble for %s: %w", platform, err)
		}
		say("%s: agent %.1f MB, plugins %.1f MB; layers compressed %.1f MB and %.1f MB\n",
			platform, mb(img.Agent), mb(img.Plugins), mb(img.AgentLayer), mb(img.PluginsLayer))
		if img.Agent > maxAgent {
			return v1.Hash{}, fmt.Errorf("the agent for %s has %.1f MB, more than %.1f", platform, mb(img.Agent), mb(maxAgent))
		}
		images = append(images, img)
	}
	digest, err := Write(o, images, dir)
	if err != nil {
		return v1.Hash{}, errors.Join(fmt.Errorf("write %s: %w", o.Out, err), os.Remove(o.Out))
	}
	return digest, nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }
