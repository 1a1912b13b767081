// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/reach"
)

func newPerfCommand() *cobra.Command {
	var f reachFlags
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "perf",
		Short: "Measure Services of a cluster beside the addresses of their pods",
		Long: `Measure what a pod gets through a ClusterIP and a NodePort, beside the address of the
endpoint itself, which is a pod on the same and then on another node: new connections per
second, the time of a new connection with a request (half of them, and 99 of 100, are as
fast or faster), and bytes per second of one connection. All ways take turns, so that other
load meets all of them. Compare the rows of one run: client and server share the processors
of their nodes with everything else.

The command makes a namespace, three pods and two Services, and removes them, as fairlead
connectivity-test does; it needs the same rights.`,
		Example: `  fairlead perf
  fairlead perf --nodes worker-1,worker-2 --duration 20s -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.perf(cmd, duration) },
	}
	var groups cliflag.NamedFlagSets
	f.register(groups.FlagSet("Test"))
	groups.FlagSet("Test").DurationVar(&duration, "duration", 6*time.Second, "time to measure each way")
	groups.FlagSet("Output").StringVarP(&f.format, "output", "o", "table", "table, wide, json, yaml")
	options.Sections(cmd, &groups)
	return cmd
}

func (f *reachFlags) perf(cmd *cobra.Command, duration time.Duration) error {
	out := output.Flags{Format: f.format}
	if err := errors.Join(out.Validate(), f.Validate()); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	report, err := reach.Perf(ctx, f.Options, duration, progress(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	return out.Run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), func(context.Context) (*output.Result, error) {
		return &output.Result{Text: report, Value: report}, nil
	})
}
