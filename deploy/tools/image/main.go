// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command image builds the image of fairlead without a Docker daemon: the agent
// and the CNI plugins, static, on nothing (FROM scratch), as an OCI archive for
// all platforms. The same source and Go release give the same digest.
//
//	ctr -n k8s.io images import fairlead.tar
//	skopeo copy --all oci-archive:fairlead.tar docker://registry.example/fairlead:v0.1.0
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// maxAgent is the size of the agent's layer that must not be exceeded, unpacked.
const maxAgent = 40 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "platforms to build for")
	flag.StringVar(&o.root, "root", "../..", "directory of the agent's module")
	flag.StringVar(&o.out, "out", "../../bin/fairlead.tar", "archive to write")
	flag.StringVar(&o.version, "version", "v0.0.0-dev", "version, and tag of the image")
	flag.StringVar(&o.name, "name", "localhost/fairlead", "name of the image: a registry of yours, or localhost, which no runtime pulls from")
	flag.Parse()
	o.platforms = strings.Split(*platforms, ",")
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	root, out, version, name string
	platforms                []string
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "fairlead-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	images := make([]platformImage, 0, len(o.platforms))
	for _, platform := range o.platforms {
		files, err := build(ctx, o, platform, filepath.Join(dir, filepath.FromSlash(platform)))
		if err != nil {
			return fmt.Errorf("build for %s: %w", platform, err)
		}
		img, err := assemble(platform, o.version, files)
		if err != nil {
			return fmt.Errorf("assemble for %s: %w", platform, err)
		}
		fmt.Printf("%s: agent %.1f MB, plugins %.1f MB; layers compressed %.1f MB and %.1f MB\n",
			platform, mb(img.agent), mb(img.plugins), mb(img.agentLayer), mb(img.pluginsLayer))
		if img.agent > maxAgent {
			return fmt.Errorf("the agent for %s has %.1f MB, more than %.1f", platform, mb(img.agent), mb(maxAgent))
		}
		images = append(images, img)
	}
	digest, err := write(o, images, dir)
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", o.out, err), os.Remove(o.out))
	}
	fmt.Printf("%s:%s@%s in %s\n", o.name, tag(o.version), digest, o.out)
	return nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// tag makes a version what a tag may be: "+" may not.
func tag(version string) string { return strings.ReplaceAll(version, "+", "-") }
