// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/proxier"
)

func newRenderCommand() *cobra.Command {
	var flags nodeFlags
	var network networkFlags
	cmd := &cobra.Command{
		Use:   "render --manifests PATH --node-name NAME",
		Short: "Print the table that manifests ask for on a node",
		Long: `Print the table that manifests ask for on a node, as nft would list it. Neither
a kernel nor privileges are needed. What is wrong with objects goes to stderr.
A file or an object that cannot be read is left out, and the exit code is 1.`,
		Example: `  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml
  fairlead render --manifests cluster.yaml --node-name worker-1 --cluster-cidr 10.244.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.config()
			err = errors.Join(err, network.apply(&cfg))
			if flags.manifests == "" {
				err = errors.Join(err, errors.New("--manifests: is missing"))
			}
			if err != nil {
				return err
			}
			return render(cmd, cfg, flags.manifests)
		},
	}
	var groups cliflag.NamedFlagSets
	groups.FlagSet("Source").StringVar(&flags.manifests, "manifests", "", "file or directory of Kubernetes manifests")
	flags.register(groups.FlagSet("Node"))
	network.registerTable(groups.FlagSet("Pod network"))
	sections(cmd, &groups)
	return cmd
}

func render(cmd *cobra.Command, cfg proxier.Config, path string) error {
	store := proxier.NewStore()
	unread := proxier.ReadFiles(path, store) // the rest is worth looking at
	text, problems := proxier.Render(cfg, store)
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", p)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return errors.Join(err, unread)
}
