// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command fairlead is one Kubernetes node agent in place of kube-proxy and
// flannel.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"

	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
)

func main() {
	err := cli.RunNoErrOutput(newRootCommand())
	if err == nil {
		return
	}
	if code, ok := errors.AsType[exitError](err); ok {
		os.Exit(int(code))
	}
	fmt.Fprintln(os.Stderr, message(err))
	if errors.As(err, &failedError{}) {
		os.Exit(2)
	}
	os.Exit(1)
}

// message puts each of several joined errors on its own line. Errors name files, devices and
// what a server answered, which a terminal must not act on.
func message(err error) string {
	return output.Lines("fairlead: " + strings.ReplaceAll(err.Error(), "\n", "\nfairlead: "))
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "A Kubernetes node agent in place of kube-proxy and flannel",
		Long: `fairlead programs the Services of a Kubernetes cluster on a node, in one
nftables table, "inet fairlead". Print that table with

    fairlead table`,
		Example: `  fairlead run --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead render --manifests cluster.yaml --node-name worker-1`,
		Version:           options.Version(),
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return plainFlag(err) })
	root.AddCommand(
		newRunCommand(),
		newRenderCommand(),
		newTableCommand(),
		withCodes(newStatusCommand()),
		newUICommand(),
		withCodes(newDiffCommand()),
		newGetCommand(),
		withCodes(newCheckCommand()),
		newBundleCommand(),
		newTraceCommand(),
		newExplainCommand(),
		withCodes(newConnectivityCommand()),
		newPerfCommand(),
		newProbeCommand(),
		newCleanupCommand(),
		newInstallCommand(),
		newVersionCommand(),
	)
	return root
}

// plainFlag returns an error about a flag without the name of the function of Go that did
// not read its value.
func plainFlag(err error) error {
	text := err.Error()
	if i := strings.Index(text, "strconv.Parse"); i >= 0 {
		if _, why, ok := strings.Cut(text[i:], `": `); ok {
			return errors.New(text[:i] + why)
		}
	}
	return err
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of fairlead, the Go release it was built with, and the platform.",
		Example: "  fairlead version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "fairlead %s %s %s/%s\n", options.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
