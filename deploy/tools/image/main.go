// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command image writes the image of fairlead as an OCI archive for all platforms.
//
//	ctr -n k8s.io images import fairlead.tar
//	skopeo copy --all oci-archive:fairlead.tar docker://registry.example/fairlead:v0.1.0
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"fairlead/deploy/tools/internal/chart"
	"fairlead/deploy/tools/internal/oci"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o oci.Options
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "platforms to build for")
	flag.StringVar(&o.Root, "root", "../..", "directory of the agent's module")
	flag.StringVar(&o.Out, "out", "../../bin/fairlead.tar", "archive to write")
	flag.StringVar(&o.Version, "version", "v0.0.0-dev", "version, and tag of the image")
	flag.StringVar(&o.Name, "name", "localhost/fairlead", "name of the image: a registry of yours, or localhost, which no runtime pulls from")
	flag.StringVar(&o.Revision, "revision", "", "commit of the source")
	flag.StringVar(&o.Source, "source", "", "URL of the source")
	flag.Parse()
	o.Platforms = strings.Split(*platforms, ",")
	digest, err := oci.Run(ctx, o, func(format string, args ...any) { fmt.Printf(format, args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Printf("%s:%s@%s in %s\n", o.Name, chart.Tag(o.Version), digest, o.Out)
}
