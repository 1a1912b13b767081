// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command fairlead is one Kubernetes node agent in place of kube-proxy and
// flannel.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
)

func main() {
	if err := cli.RunNoErrOutput(newRootCommand()); err != nil {
		fmt.Fprintln(os.Stderr, message(err))
		os.Exit(1)
	}
}

// message gives each of several errors a line of its own.
func message(err error) string {
	return "fairlead: " + strings.ReplaceAll(err.Error(), "\n", "\nfairlead: ")
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "A Kubernetes node agent in place of kube-proxy and flannel",
		Long: `fairlead programs the Services of a Kubernetes cluster on a node, in one
nftables table, "inet fairlead". Look at what it does with

    nft list table inet fairlead`,
		Example: `  fairlead run --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead render --manifests cluster.yaml --node-name worker-1`,
		Version:           versionText(),
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(
		newRunCommand(),
		newRenderCommand(),
		newCleanupCommand(),
		newInstallCommand(),
		newVersionCommand(),
	)
	return root
}
