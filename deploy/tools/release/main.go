// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command release writes everything that a release consists of: programs, image, chart,
// manifests, SBOM, provenance, notes and checksums. The same source and Go release give
// the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"fairlead/deploy/tools/internal/chart"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "platforms to build for")
	flag.StringVar(&o.Root, "root", "../..", "directory of the agent's module")
	flag.StringVar(&o.dir, "out", "../../bin/release", "directory to write to, which is emptied first")
	flag.StringVar(&o.Version, "version", "", "version, such as v0.1.0")
	flag.StringVar(&o.Name, "repository", chart.NoImage, "registry and name that manifests pull the image from")
	flag.StringVar(&o.Revision, "revision", "", "commit of the source")
	flag.StringVar(&o.Source, "source", "", "URL of the source")
	flag.Parse()
	o.Platforms = strings.Split(*platforms, ",")
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
