// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/output"
	"fairlead/proxier"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// errDiffers says that diff found differences, which it has printed.
const errDiffers = exitError(1)

func newDiffCommand() *cobra.Command {
	var from readFlags
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Compare the table in the kernel with the one that the objects ask for",
		Long: `Compare the table in the kernel with the one that the objects ask for, and print a
line for each difference: what is missing, extra or changed. Give the command the
flags of the agent, and run it in the same network namespace. It needs CAP_NET_ADMIN
and no running agent, and changes nothing. The exit code is 0 without differences, 1
with differences, and 2 if something could not be read. With --bundle it compares what
the bundle has, with the configuration in it.`,
		Example: `  fairlead diff --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead diff --manifests /etc/fairlead/manifests --node-name worker-1
  fairlead diff --bundle node.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := diff(cmd, &from)
			if err != nil && !errors.Is(err, errDiffers) {
				return failedError{err}
			}
			return err
		},
	}
	from.register(cmd, func(*cliflag.NamedFlagSets) {})
	return cmd
}

func diff(cmd *cobra.Command, from *readFlags) error {
	table, err := loadTable(cmd.Context(), from.bundle)
	if err != nil {
		return err
	}
	cfg, objects, err := from.wanted(cmd)
	if err != nil {
		return err
	}
	list, problems := proxier.Diff(*cfg, objects, table.Found)
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", output.Clean(p.String()))
	}
	for _, d := range list {
		fmt.Fprintln(cmd.OutOrStdout(), output.Clean(fmt.Sprint(d)))
	}
	if len(list) > 0 {
		return errDiffers
	}
	return nil
}

// wanted returns what the table of the node, or that of the bundle, follows from.
func (f *readFlags) wanted(cmd *cobra.Command) (*resolve.Config, *store.Store, error) {
	if f.bundle == "" {
		cfg, err := f.run.Config(cmd.Flags())
		if err != nil {
			return nil, nil, err
		}
		s, err := agent.ReadObjects(cmd.Context(), cfg)
		return &cfg.Proxier, s, err
	}
	node, err := f.node(cmd)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := node.Config(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	all, err := node.Objects(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	for kind, why := range all.Missing {
		return nil, nil, fmt.Errorf("objects of kind %s are not in the bundle: %s", kind, why)
	}
	s, err := all.Store()
	return &cfg.Table, s, err
}
