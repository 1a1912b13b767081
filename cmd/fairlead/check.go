// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/doctor"
	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/proxier/store"
)

// checkFlags are the flags of the command itself.
type checkFlags struct {
	output.Flags
	timeout time.Duration
	wait    time.Duration
	read    readFlags
}

func newCheckCommand() *cobra.Command {
	f := &checkFlags{}
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
what it could not check. With --bundle it prints what was found when the bundle was
written. The exit code is 0 without findings, 1 with warnings, and 2 with errors.`,
		Example: `  fairlead check
  fairlead check --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16 --overlay vxlan -o json
  fairlead check --bundle node.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := &finding.Report{}
			err := f.validate(cmd)
			if err == nil {
				err = f.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(context.Context) (*output.Result, error) {
					report, err = f.check(cmd)
					return &output.Result{Text: reportText{report, f.read.bundle != ""}, Value: report}, err
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
	f.read.register(cmd, func(groups *cliflag.NamedFlagSets) {
		f.Register(groups.FlagSet("Output"))
		fs := groups.FlagSet("Check")
		fs.DurationVar(&f.timeout, "timeout", 2*time.Minute, "time for all checks; the rest is left out")
		fs.DurationVar(&f.wait, "peer-timeout", peerWait, "time for the answer of another node to one packet")
	})
	return cmd
}

// reportText prints a report for people.
type reportText struct {
	*finding.Report
	saved bool // it is that of a bundle
}

// Print writes the findings. There is no wide form.
func (r reportText) Print(out io.Writer, _ bool) error {
	text := r.Text()
	if r.saved {
		text += fmt.Sprintf("The node was checked at %s, for the bundle.\n", r.Time.UTC().Format(time.DateTime+"Z"))
	}
	_, err := io.WriteString(out, output.Lines(text))
	return err
}

func (f *checkFlags) validate(cmd *cobra.Command) error {
	if err := f.Validate(); err != nil || f.read.bundle == "" {
		return err
	}
	return f.read.saved(cmd, "timeout", "peer-timeout")
}

func (f *checkFlags) check(cmd *cobra.Command) (*finding.Report, error) {
	if f.read.bundle != "" {
		node, err := inspect.OpenBundle(f.read.bundle)
		if err != nil {
			return nil, err
		}
		return node.Check(cmd.Context())
	}
	cfg, source, err := f.read.config(cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	in := f.read.checks(cmd, cfg, source)
	in.Wait = f.wait
	return doctor.Run(ctx, in), nil
}

// peerWait is how long another node may take to answer one packet, unless a flag says
// otherwise.
const peerWait = time.Second

// checks returns what is checked of the node that the configuration is for.
func (f *readFlags) checks(cmd *cobra.Command, cfg *options.Config, source string) doctor.Input {
	in := doctor.Input{Config: cfg, Wait: peerWait}
	switch {
	case source == "agent":
		in.Flags = "the flags are those of the running agent"
	case len(f.given(cmd)) > 0:
		in.Flags = "the flags are those of the command line"
	default:
		in.Flags = "no flags are given and no agent was found to take them from, so the pods' network is not checked"
	}
	query, err := agent.NewQuery(cfg)
	if query != nil {
		in.Client, in.Clock = query.Client, query.Clock
	}
	in.ClientErr = err
	in.Read = func(ctx context.Context) (*store.Store, error) { return agent.ReadObjects(ctx, cfg) }
	return in
}
