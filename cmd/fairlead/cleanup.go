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

	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/output"
	"fairlead/internal/firewall"
	"fairlead/internal/leftovers"
)

// cleanupFlags say whose objects to remove, and where their files are.
type cleanupFlags struct {
	of     []string
	dryRun bool
	opts   leftovers.Options
}

func newCleanupCommand() *cobra.Command {
	f := &cleanupFlags{}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove the objects that kube-proxy, flannel or fairlead left on this node",
		Long: `Remove the tables, chains, devices, routes and files that kube-proxy, flannel or
fairlead left on this node. These programs leave them in place when they end. Objects
of other programs stay. Run the command as root in the network namespace of the
node, after the program was removed for good. fairlead runs no other program: for
objects that need one, such as rules of legacy iptables, it prints the command to
type.`,
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
	fs.StringSliceVar(&f.of, "of", nil, "owners of the objects: kube-proxy, flannel, fairlead, or several of them")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be removed, and remove nothing")
	f.opts = node.LeftoverOptions()
	fs.StringVar(&f.opts.CNIDir, "cni-conf-dir", f.opts.CNIDir, "directory of CNI configurations")
	fs.StringVar(&f.opts.SubnetFile, "subnet-file", f.opts.SubnetFile, "file that flannel writes for its CNI plugin")
}

func (f *cleanupFlags) run(ctx context.Context, out io.Writer) error {
	owners, err := leftovers.ParseOwners(f.of)
	if err != nil {
		return fmt.Errorf("--of: %w", err)
	}
	if len(owners) == 0 {
		return errors.New("--of: is missing: set kube-proxy, flannel, fairlead, or several of them")
	}
	state, err := leftovers.Look(nil, f.opts)
	errs := []error{err}
	plan := leftovers.NewPlan(f.opts, owners, state)
	if f.dryRun {
		for i := range plan.Removals {
			r := &plan.Removals[i]
			_, _ = fmt.Fprintf(out, "%s: would remove %s\n", r.Owner, output.Clean(r.String()))
		}
	} else {
		errs = append(errs, leftovers.Apply(ctx, nil, plan, func(r *leftovers.Removal, err error) {
			if err == nil {
				_, _ = fmt.Fprintf(out, "%s: removed %s\n", r.Owner, output.Clean(r.String()))
			}
		}))
	}
	for i := range plan.Left {
		l := &plan.Left[i]
		_, _ = fmt.Fprintf(out, "%s: %s\n", l.Owner, output.Clean(l.String()))
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

// closeFirewall removes the rules that --open-firewall added, and returns their number.
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
