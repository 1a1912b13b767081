// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/explain"
	"fairlead/cmd/fairlead/output"
)

func newExplainCommand() *cobra.Command {
	var from readFlags
	var out output.Flags
	var client string
	cmd := &cobra.Command{
		Use:   "explain [NAMESPACE/]SERVICE[:PORT] | ADDRESS:PORT[/udp|/sctp]",
		Short: "Say what happens to connections to a Service or an address, and why",
		Long: `Say what happens on this node to connections to a Service or an address. The command
evaluates the rules of the table in the kernel for the first packet of a connection, and
prints each rule and element that acts on it: frontend, source ranges, affinity, the
endpoints with their probability, masquerade, route, tunnel and MTU. It says why
connections fail, why an endpoint is not used, and what to change. It also explains
Services that fairlead does not serve. It needs CAP_NET_ADMIN and no running agent, and
changes nothing. It takes the flags of the agent that runs on the node, unless it is
given some.`,
		Example: `  fairlead explain default/web
  fairlead explain --from outside kube-system/kube-dns:53/udp
  fairlead explain --from default/client-0 10.96.0.10:80`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeExplain(&from),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Validate(); err != nil {
				return err
			}
			if _, err := explain.ParseSubject(args[0]); err != nil {
				return err // before anything is read
			}
			node, err := from.node(cmd)
			if err != nil {
				return err
			}
			return out.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(ctx context.Context) (*output.Result, error) {
				p, err := explain.Read(ctx, node)
				if err != nil {
					return nil, err
				}
				r, err := explain.Explain(ctx, p, args[0], client)
				if err != nil {
					return nil, err
				}
				return &output.Result{Text: r, Value: r}, nil
			})
		},
	}
	from.register(cmd, func(groups *cliflag.NamedFlagSets) {
		fs := groups.FlagSet("Output")
		fs.StringVar(&client, "from", "", `client: a Pod ([NAMESPACE/]NAME), a Node, an address, "pod" for any pod of this node, "node" for this node, or "outside" for a host outside of the cluster; default is pod for ClusterIPs and outside for other addresses of a Service`)
		out.Register(fs)
	})
	_ = cmd.RegisterFlagCompletionFunc("from", completeFrom(&from))
	return cmd
}
