// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/explain"
	"fairlead/cmd/fairlead/output"
)

func newGetCommand() *cobra.Command {
	var from readFlags
	var out output.Flags
	cmd := &cobra.Command{
		Use:   "get services|endpoints|nodes|hostports|affinity|egress [NAME]",
		Short: "List what the kernel serves on this node",
		Long: `List what the table in the kernel serves on this node, joined with the API objects:
addresses of Services, their endpoints and why an endpoint is not used, nodes and the
way to their pods, ports of the node that belong to pods, clients that session affinity
keeps with an endpoint, or the ranges that masquerade of pods depends on. A name selects
one Service (NAMESPACE/NAME), Node or Pod. The command needs CAP_NET_ADMIN and no running
agent. It takes the flags of the agent that runs on the node, unless it is given some.`,
		Example: `  fairlead get services
  fairlead get endpoints kube-system/kube-dns -o json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeGet(&from),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Validate(); err != nil {
				return err
			}
			name, err := getName(args)
			if err != nil {
				return err
			}
			node, err := from.node(cmd)
			if err != nil {
				return err
			}
			var said []string
			return out.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(ctx context.Context) (*output.Result, error) {
				p, err := explain.Read(ctx, node)
				if err != nil {
					return nil, err
				}
				if missing := missingFor(args[0], p); !slices.Equal(missing, said) { // once with --watch
					for _, text := range missing {
						fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", output.Clean(text))
					}
					said = missing
				}
				return p.Get(ctx, args[0], name)
			})
		},
	}
	from.register(cmd, func(groups *cliflag.NamedFlagSets) { out.Register(groups.FlagSet("Output")) })
	return cmd
}

// missingFor returns what could not be read and is of use for a kind.
func missingFor(kind string, p *explain.Picture) []string {
	if kind == "nodes" && p.Table == nil {
		return p.Missing[1:] // behind the table
	}
	return p.Missing
}

// getName checks the arguments of get, and returns the name or "".
func getName(args []string) (string, error) {
	kind := args[0]
	if !slices.Contains(explain.Kinds(), kind) {
		return "", fmt.Errorf("%q is not one of %s", kind, strings.Join(explain.Kinds(), ", "))
	}
	if len(args) < 2 {
		return "", nil
	}
	name := args[1]
	switch {
	case !explain.HasNames(kind):
		return "", fmt.Errorf("%s has no names to select by", kind)
	case kind != "nodes" && (name == "" || checkServiceName(name) != nil):
		return "", fmt.Errorf("%q is not NAMESPACE/NAME", name)
	}
	return name, nil
}
