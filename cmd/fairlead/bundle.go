// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/redact"
	"fairlead/cmd/fairlead/view"
)

// bundleFlags are the flags of fairlead bundle.
type bundleFlags struct {
	read      readFlags
	file      string
	redact    []string
	redactMap string
}

func newBundleCommand() *cobra.Command {
	f := &bundleFlags{}
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Write everything that the commands read into an archive",
		Long: `Write everything that the commands read of this node into an archive: the table, API
objects and Pods, links, routes and rules, settings, the fill of the table of flows, CNI
files, what fairlead check finds, the state of the agent and the ends of its logs: those
that the agent keeps, and the kubelet's files or what the API server has of its
containers. Commands with --bundle read it on another machine.
A part that cannot be read is left out, and the file node.json in the archive says why.
Only its owner may read the file.

The archive has no secrets: of objects it has the fields that the commands read, so no
Secrets, no environment, command lines or volumes of Pods, no annotations of others; and
tokens, passwords and keys are cut out of texts. It has names and addresses of the
cluster. With --redact pseudonyms stand for them, and the commands still work: the same
pseudonym stands for the same original in the whole archive, and addresses of one range
stay in one range. Well-known names such as default and kube-system, and ranges such as
10.0.0.0/8, loopback and multicast addresses, stay. The next archive has other pseudonyms.
With --redact-map you can tell later what a pseudonym stands for.`,
		Example: `  fairlead bundle -o node.tar.gz
  fairlead bundle --redact --redact-map private.json -o node.tar.gz
  fairlead bundle -o - --kubeconfig /etc/kubernetes/proxy.conf > node.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.read.register(cmd, func(groups *cliflag.NamedFlagSets) {
		fs := groups.FlagSet("Output")
		fs.StringVarP(&f.file, "output", "o", "", "file to write, which must not exist; - for the standard output; default is fairlead-HOST-TIME.tar.gz")
		fs.StringSliceVar(&f.redact, "redact", nil, "let pseudonyms stand for addresses, names, or both, which is the default of --redact without a value")
		fs.Lookup("redact").NoOptDefVal = "addresses,names"
		fs.StringVar(&f.redactMap, "redact-map", "", "file to write what each pseudonym stands for, which must not exist; keep it to yourself")
	})
	return cmd
}

func (f *bundleFlags) run(cmd *cobra.Command) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	node, err := f.read.node(cmd)
	if err != nil {
		return err
	}
	clean, err := redact.Of(cmd.Context(), node, o)
	if err != nil {
		return err
	}
	if f.redactMap != "" {
		text, err := json.MarshalIndent(clean.Pseudonyms(), "", " ")
		if err != nil {
			return err
		}
		if err := writeNew("--redact-map", f.redactMap, append(text, '\n')); err != nil {
			return err
		}
	}
	return writeBundle(cmd, clean, f.file)
}

// options reads --redact.
func (f *bundleFlags) options() (o redact.Options, err error) {
	for _, s := range f.redact {
		switch s {
		case "addresses":
			o.Addresses = true
		case "names":
			o.Names = true
		default:
			return o, fmt.Errorf("--redact: %q is not addresses or names", s)
		}
	}
	if f.redactMap != "" && len(f.redact) == 0 {
		return o, errors.New("--redact-map has no effect without --redact")
	}
	_, err = rand.Read(o.Key[:])
	return o, err
}

func writeBundle(cmd *cobra.Command, node view.Node, file string) error {
	about, err := node.About(cmd.Context())
	if err != nil {
		return err
	}
	dir := "fairlead-" + strings.ReplaceAll(about.Host, "/", "-") + "-" + about.Time.UTC().Format("20060102T150405Z")
	archive, err := archiveOf(cmd.Context(), node, dir, about.Time)
	if err != nil {
		return err
	}
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(archive)
		return err
	}
	if file == "" {
		file = dir + ".tar.gz"
	}
	if err := writeNew("--output", file, archive); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, %d bytes\n", file, len(archive))
	return err
}

func archiveOf(ctx context.Context, node view.Node, dir string, at time.Time) ([]byte, error) {
	files, err := view.Files(ctx, node)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	err = inspect.WriteArchive(&archive, dir, files, at.Truncate(time.Second))
	return archive.Bytes(), err
}

// writeNew writes a file that only its owner may read. It removes a half of one.
func writeNew(flag, name string, text []byte) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", flag, err), os.Remove(name))
	}
	return nil
}
