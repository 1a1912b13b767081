// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/doctor"
	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/proxier/store"
)

// checkFlags are the flags of the command itself.
type checkFlags struct {
	output.Flags
	timeout time.Duration
	wait    time.Duration
	run     *options.Run
}

func newCheckCommand() *cobra.Command {
	f := &checkFlags{run: options.NewRun()}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check this node for everything that keeps fairlead from working",
		Long: `Check this node for everything that keeps fairlead from working: features of the
kernel, settings, other programs and what they left, firewalls, the CNI configuration,
the tunnel and the MTU to every other node, checksums that network cards spoil, the
table of flows, the clock, and the rights at the API server. Each finding has what was
seen and what to do. The command changes nothing; it sends a few small UDP packets to
other nodes. Without flags it takes those of the agent that runs beside it; else give it
the flags of the agent. It works without an agent and without an API server, and says
what it could not check. The exit code is 0 without findings, 1 with warnings, and 2 with
errors.`,
		Example: `  fairlead check
  fairlead check --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16 --overlay vxlan -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := &finding.Report{}
			err := f.Validate()
			if err == nil {
				err = f.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(context.Context) (*output.Result, error) {
					report, err = f.check(cmd)
					return &output.Result{Text: reportText{report}, Value: report}, err
				})
			}
			if err != nil {
				return failedError{err}
			}
			if code := report.ExitCode(); code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
	f.run.RegisterWith(cmd, func(groups *cliflag.NamedFlagSets) {
		f.Register(groups.FlagSet("Output"))
		fs := groups.FlagSet("Check")
		fs.DurationVar(&f.timeout, "timeout", 2*time.Minute, "time for all checks; the rest is left out")
		fs.DurationVar(&f.wait, "peer-timeout", time.Second, "time for the answer of another node to one packet")
	})
	return cmd
}

// reportText prints a report for people.
type reportText struct{ *finding.Report }

// Print writes the findings. There is no wide form.
func (r reportText) Print(out io.Writer, _ bool) error {
	_, err := io.WriteString(out, output.Lines(r.Text()))
	return err
}

func (f *checkFlags) check(cmd *cobra.Command) (*finding.Report, error) {
	in := doctor.Input{Wait: f.wait}
	read := readFlags{run: f.run}
	var source string
	var err error
	if in.Config, source, err = read.config(cmd); err != nil {
		return nil, err
	}
	switch {
	case source == "agent":
		in.Flags = "the flags are those of the running agent"
	case read.given(cmd):
		in.Flags = "the flags are those of the command line"
	default:
		in.Flags = "no flags are given and no agent was found to take them from, so the pods' network is not checked"
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	query, err := agent.NewQuery(in.Config)
	if query != nil {
		in.Client, in.Clock = query.Client, query.Clock
	}
	in.ClientErr = err
	in.Read = func(ctx context.Context) (*store.Store, error) { return agent.ReadObjects(ctx, in.Config) }
	return doctor.Run(ctx, in), nil
}
