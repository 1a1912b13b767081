// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command fairlead is one Kubernetes node agent in place of kube-proxy and
// flannel.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/version"
)

func main() { os.Exit(cli.Run(newRootCommand())) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "A Kubernetes node agent in place of kube-proxy and flannel",
		Long: `fairlead programs the Services of a Kubernetes cluster on a node, in one
nftables table, "inet fairlead". Look at what it does with

    nft list table inet fairlead`,
		Example: `  fairlead run --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead render --manifests cluster.yaml --node-name worker-1
  fairlead lab --demo`,
		Version:           version.Get().GitVersion,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(
		newRunCommand(),
		newRenderCommand(),
		newLabCommand(),
	)
	return root
}
