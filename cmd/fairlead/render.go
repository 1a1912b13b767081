// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fairlead/cmd/fairlead/options"
	"fairlead/proxier"
	"fairlead/proxier/resolve"
	"fairlead/proxier/source"
	"fairlead/proxier/store"
)

func newRenderCommand() *cobra.Command {
	var flags options.Render
	cmd := &cobra.Command{
		Use:   "render --manifests PATH --node-name NAME",
		Short: "Print the table of a node that follows from manifests",
		Long: `Print the table of a node that follows from manifests, as nft would list it. The
command needs neither a kernel nor privileges. It prints problems of objects to
stderr. It leaves out files and objects that cannot be read; the exit code is 1
then.`,
		Example: `  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml
  fairlead render --manifests cluster.yaml --node-name worker-1 --cluster-cidr 10.244.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, manifests, err := flags.Config()
			if err != nil {
				return err
			}
			return render(cmd, cfg, manifests)
		},
	}
	flags.Register(cmd)
	return cmd
}

func render(cmd *cobra.Command, cfg resolve.Config, path string) error {
	store := store.New()
	unread := source.ReadFiles(path, store) // the objects that can be read are rendered
	text, problems := proxier.Render(cfg, store)
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", p)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return errors.Join(err, unread)
}
