// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/proxier"
)

// exitError ends the process with a code of its own and prints nothing.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// errDiffers says that diff found differences, which it has printed.
const errDiffers = exitError(1)

// failedError makes the process end with exit code 2.
type failedError struct{ error }

func (e failedError) Unwrap() error { return e.error }

func newDiffCommand() *cobra.Command {
	flags := options.NewRun()
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Compare the table in the kernel with the one that the objects ask for",
		Long: `Compare the table in the kernel with the one that the objects ask for, and print a
line for each difference: what is missing, extra or changed. Give the command the
flags of the agent, and run it in the same network namespace. It needs CAP_NET_ADMIN
and no running agent, and changes nothing. The exit code is 0 without differences, 1
with differences, and 2 if something could not be read.`,
		Example: `  fairlead diff --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead diff --manifests /etc/fairlead/manifests --node-name worker-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := diff(cmd, flags)
			if err != nil && !errors.Is(err, errDiffers) {
				return failedError{err}
			}
			return err
		},
	}
	flags.Register(cmd)
	return cmd
}

func diff(cmd *cobra.Command, flags *options.Run) error {
	cfg, err := flags.Config(cmd.Flags())
	if err != nil {
		return err
	}
	table, err := inspect.LoadTable(cmd.Context())
	if err != nil {
		return err
	}
	store, err := agent.ReadObjects(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	list, problems := proxier.Diff(cfg.Proxier, store, table.Found)
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", p)
	}
	for _, d := range list {
		fmt.Fprintln(cmd.OutOrStdout(), d)
	}
	if len(list) > 0 {
		return errDiffers
	}
	return nil
}
