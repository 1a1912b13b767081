// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/view"
)

func newBundleCommand() *cobra.Command {
	var read readFlags
	var file string
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Write everything that the commands read into an archive",
		Long: `Write everything that the commands read of this node into an archive: the table, API
objects and Pods, links, routes and rules, settings, the fill of the table of flows, CNI
files, and the state of the agent. Commands with --bundle read it on another machine.
A part that cannot be read is left out, and the file node.json in the archive says why.
The archive has no Secrets, and of Pods neither environment nor command lines. It has
names and addresses of the cluster. Only its owner may read the file.`,
		Example: `  fairlead bundle -o node.tar.gz
  fairlead bundle -o - --kubeconfig /etc/kubernetes/proxy.conf > node.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			node, err := read.node(cmd)
			if err != nil {
				return err
			}
			return writeBundle(cmd, node, file)
		},
	}
	read.register(cmd, func(groups *cliflag.NamedFlagSets) {
		groups.FlagSet("Output").StringVarP(&file, "output", "o", "", "file to write, which must not exist; - for the standard output; default is fairlead-HOST-TIME.tar.gz")
	})
	return cmd
}

func writeBundle(cmd *cobra.Command, node view.Node, file string) error {
	about, err := node.About(cmd.Context())
	if err != nil {
		return err
	}
	files, err := view.Files(cmd.Context(), node)
	if err != nil {
		return err
	}
	dir := "fairlead-" + strings.ReplaceAll(about.Host, "/", "-") + "-" + about.Time.UTC().Format("20060102T150405Z")
	var archive bytes.Buffer
	if err := inspect.WriteArchive(&archive, dir, files, about.Time.Truncate(time.Second)); err != nil {
		return err
	}
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(archive.Bytes())
		return err
	}
	if file == "" {
		file = dir + ".tar.gz"
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	_, err = out.Write(archive.Bytes())
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("--output: %w", err), os.Remove(file))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, %d bytes\n", file, archive.Len())
	return err
}
