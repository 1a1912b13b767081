// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/signal"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/options"
)

func newRunCommand() *cobra.Command {
	flags := options.NewRun()
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the current network namespace",
		Long: `Run the agent in the current network namespace. Services come from an API server,
from manifest files, or both. The agent needs CAP_NET_ADMIN. It leaves the data
path in place when it ends, so that an upgrade drops no traffic.`,
		Example: `  fairlead run --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead run --manifests /etc/fairlead/manifests --node-name worker-1 --cluster-cidr 10.244.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.Config(cmd.Flags())
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings {
				klog.FromContext(cmd.Context()).Info("Warning: ignoring unsupported setting", "setting", w.Setting, "reason", w.Reason)
			}
			if cfg.InitOnly {
				return cfg.Node.Conntrack.Apply(cfg.Node.SysctlDir, runtime.NumCPU())
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
			return agent.Run(ctx, cfg)
		},
	}
	flags.Register(cmd)
	return cmd
}
