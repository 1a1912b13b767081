// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fairlead/internal/cni"
	"fairlead/internal/firewall"
	"fairlead/internal/leftovers"
	"fairlead/nat/ruleset"
	"fairlead/overlay"
)

// cleanupFlags say what to remove, and where files are.
type cleanupFlags struct {
	of     []string
	dryRun bool
	opts   leftovers.Options
}

func newCleanupCommand() *cobra.Command {
	f := &cleanupFlags{}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what kube-proxy, flannel or fairlead left on this node",
		Long: `Remove what kube-proxy, flannel or fairlead left on this node: tables, chains,
devices, routes and files, and nothing of anybody else. None of them removes it
when it ends. Run it in the network namespace of the node, as root, when the
program is gone for good. No program is run; what would need one, like rules of
legacy iptables, is printed as a command to type.`,
		Example: `  fairlead cleanup --of kube-proxy,flannel --dry-run
  fairlead cleanup --of fairlead`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *cleanupFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.of, "of", nil, "whose leftovers: kube-proxy, flannel, fairlead, or several of them")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only print what would be removed")
	f.opts = leftoverOptions()
	fs.StringVar(&f.opts.CNIDir, "cni-conf-dir", f.opts.CNIDir, "where the container runtime looks for its network")
	fs.StringVar(&f.opts.SubnetFile, "subnet-file", f.opts.SubnetFile, "what flannel tells its CNI plugin")
}

// leftoverOptions are what this build of the agent makes, and where.
func leftoverOptions() leftovers.Options {
	return leftovers.Options{
		CNIDir: cni.DefaultDir, SubnetFile: leftovers.DefaultSubnetFile,
		Table: "inet " + ruleset.TableName, Alias: overlay.Alias, Protocol: overlay.DefaultProtocol,
	}
}

func (f *cleanupFlags) run(ctx context.Context, out io.Writer) error {
	owners, err := leftovers.ParseOwners(f.of)
	if err != nil {
		return fmt.Errorf("--of: %w", err)
	}
	if len(owners) == 0 {
		return errors.New("--of: whose leftovers? kube-proxy, flannel, fairlead, or several of them")
	}
	state, err := leftovers.Look(nil, f.opts)
	errs := []error{err}
	plan := leftovers.NewPlan(f.opts, owners, state)
	if f.dryRun {
		for i := range plan.Removals {
			r := &plan.Removals[i]
			_, _ = fmt.Fprintf(out, "%s: would remove %s\n", r.Owner, r)
		}
	} else {
		errs = append(errs, leftovers.Apply(ctx, nil, plan, func(r *leftovers.Removal, err error) {
			if err == nil {
				_, _ = fmt.Fprintf(out, "%s: removed %s\n", r.Owner, r)
			}
		}))
	}
	for i := range plan.Left {
		l := &plan.Left[i]
		_, _ = fmt.Fprintf(out, "%s: %s\n", l.Owner, l)
	}
	opened := 0
	if slices.Contains(owners, leftovers.Fairlead) {
		opened, err = f.closeFirewall(out)
		errs = append(errs, err)
	}
	if plan.Empty() && opened == 0 {
		_, _ = fmt.Fprintln(out, "nothing is left")
	}
	return errors.Join(errs...)
}

// closeFirewall takes back what --open-firewall did.
func (f *cleanupFlags) closeFirewall(out io.Writer) (int, error) {
	what, remove := "removed", firewall.Remove
	if f.dryRun {
		what, remove = "would remove", firewall.Count
	}
	n, err := remove(0)
	if n > 0 {
		_, _ = fmt.Fprintf(out, "%s: %s rules in firewalls of others (%d, comment %q)\n", leftovers.Fairlead, what, n, firewall.Comment)
	}
	return n, err
}
