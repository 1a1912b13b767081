// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fairlead/cmd/fairlead/options"
	"fairlead/proxier"
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
then. With --strict it is 1 as soon as anything is reported.`,
		Example: `  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml
  fairlead render --manifests cluster.yaml --node-name worker-1 --cluster-cidr 10.244.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.Config(cmd.Flags())
			if err != nil {
				return err
			}
			return render(cmd, cfg)
		},
	}
	flags.Register(cmd)
	return cmd
}

// errReported ends render with code 1. The reports are on stderr.
var errReported = errors.New("--strict: see the lines above")

// render prints the table, and each report once.
func render(cmd *cobra.Command, cfg *options.RenderConfig) error {
	store := store.New()
	unknown, unread := source.ReadFiles(cfg.Manifests, store) // the objects that can be read are rendered
	text, problems := proxier.Render(cfg.Table, store)
	var reports []string
	for _, w := range cfg.Warnings {
		reports = append(reports, w.Setting+" "+w.Reason)
	}
	for _, u := range unknown {
		reports = append(reports, u.String())
	}
	for _, p := range problems {
		reports = append(reports, p.String())
	}
	for _, r := range reports {
		fmt.Fprintln(cmd.ErrOrStderr(), "fairlead:", r)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	err = errors.Join(err, unread)
	if err == nil && cfg.Strict && len(reports) > 0 {
		err = errReported
	}
	return err
}
