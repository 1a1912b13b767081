// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures fairlead beside kube-proxy in one run, and writes
// a report in Markdown, the samples as CSV, and plots. "make bench" calls it.
//
// It must run as root: in a user namespace nft cannot send batches of the size that
// kube-proxy makes (EMSGSIZE). All traffic stays in namespaces that it makes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"fairlead/bench/parts"
)

// options are what the flags say.
type options struct {
	bin, out, size string
	only           string
	budget         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "directory of fairlead and controlplane")
	flag.StringVar(&o.out, "out", "bin/bench", "directory that receives the report")
	flag.StringVar(&o.size, "size", "short", "smoke (a minute), short (a quarter of an hour) or full (hours)")
	flag.StringVar(&o.only, "parts", "", "comma-separated parts to do; empty does all of the size")
	flag.DurationVar(&o.budget, "budget", 0, "the whole run ends after it; 0 is the sum of the parts")
	publish := flag.String("publish", "", "copy the report of -out into this directory of documentation, and measure nothing")
	flag.Parse()
	klog.SetLogger(logr.Discard()) // what ends early here is known here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var code int
	var err error
	switch {
	case *publish != "":
		err = publishTo(o.out, *publish)
	case os.Getenv(inside) == "":
		code, err = relaunch()
	default:
		err = measure(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	if code != 0 {
		stop()
		os.Exit(code)
	}
}

// plan returns the parts of a size.
func plan(o options) ([]parts.Part, error) {
	sizes := map[string]func() []parts.Part{"smoke": parts.Smoke, "short": parts.Short, "full": parts.Full}
	of, ok := sizes[o.size]
	if !ok {
		return nil, fmt.Errorf("size %q is not smoke, short or full", o.size)
	}
	list := of()
	if o.only == "" {
		return list, nil
	}
	var out []parts.Part
	var unknown []error
	for name := range strings.SplitSeq(o.only, ",") {
		i := slices.IndexFunc(list, func(p parts.Part) bool { return p.Name == name })
		if i < 0 {
			unknown = append(unknown, fmt.Errorf("size %s has no part %q", o.size, name))
			continue
		}
		out = append(out, list[i])
	}
	return out, errors.Join(unknown...)
}
