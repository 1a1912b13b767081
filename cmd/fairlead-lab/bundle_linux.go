// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fairlead/cmd/fairlead-lab/rebuild"
	"fairlead/cmd/fairlead-lab/rebuild/plan"
)

// runBundle rebuilds the node of a bundle and keeps it until the end.
func (o *options) runBundle(ctx context.Context, out io.Writer, dir string) error {
	n, err := rebuild.New(ctx, o.bundle, plan.Limits{Pods: o.pods})
	if err != nil {
		return err
	}
	err = n.Print(out)
	if err == nil {
		err = o.explainBundle(n, out, dir)
	}
	if err == nil {
		<-ctx.Done()
		fmt.Fprintln(out, "\nTaking the node down.")
	}
	return errors.Join(err, n.Close())
}

// askScript runs a command of fairlead inside the node, with the flags of its agent.
const askScript = `#!/bin/sh
# Runs a command of fairlead inside the rebuilt node, as its agent was configured.
case ${1-} in
run) set -- "$@" --metrics-bind-address= --healthz-bind-address= %[1]s ;;
explain|get|diff|table|check|bundle) set -- "$@" %[1]s ;;
esac
exec %[2]s node %[3]s "$@"
`

// explainBundle writes the files that the node is looked into with, and prints how.
func (o *options) explainBundle(n *rebuild.Node, out io.Writer, dir string) error {
	enter, err := writeEnter(dir, n.Hosts())
	if err != nil {
		return err
	}
	flags, err := writeObjects(n, dir)
	if err != nil {
		return err
	}
	agent, err := filepath.Abs(o.agent)
	if err != nil {
		return fmt.Errorf("--agent: %w", err)
	}
	ask := filepath.Join(dir, "fairlead")
	if err := os.WriteFile(ask, fmt.Appendf(nil, askScript, quoted(flags...), quoted(enter), quoted(agent)), 0o700); err != nil {
		return fmt.Errorf("write script: %w", err)
	}
	client := "outside"
	if len(n.Pods) > 0 {
		client = n.Pods[0].Name
	}
	_, err = fmt.Fprintf(out, `
Run commands of fairlead in the node from another terminal, for example:
  %[1]s explain NAMESPACE/SERVICE
  %[1]s diff
  %[1]s check
Its agent repairs what is wrong; it reads the objects of the bundle:
  %[1]s run
Enter the node, a pod or the host outside:
  %[2]s node nft list table inet fairlead
  %[2]s %[3]s bash -c 'head -n 1 </dev/tcp/ADDRESS/PORT'
  nsenter --target %[4]d --user --preserve-credentials --net=/proc/%[4]d/fd/%[5]d

Ctrl-C ends the lab.
`, ask, enter, client, os.Getpid(), n.NS.Fd())
	return err
}

// writeObjects writes the objects and CNI files of a bundle, and returns the flags that
// make fairlead read them with the bundle's configuration.
func writeObjects(n *rebuild.Node, dir string) ([]string, error) {
	manifests, cniDir := filepath.Join(dir, "objects"), filepath.Join(dir, "net.d")
	for _, d := range []string{manifests, cniDir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, fmt.Errorf("make directory of the lab: %w", err)
		}
	}
	if n.Bundle.Objects != nil {
		text, err := json.Marshal(n.Bundle.Objects)
		if err == nil {
			err = os.WriteFile(filepath.Join(manifests, "objects.json"), text, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("write objects: %w", err)
		}
	}
	for i, f := range n.Bundle.CNI {
		name := filepath.Base(f.Name)
		if name != f.Name || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
			return nil, fmt.Errorf("--bundle: %s: cni.json: file %d: %q is not the name of a file", n.Bundle.File, i+1, f.Name)
		}
		if err := os.WriteFile(filepath.Join(cniDir, name), []byte(f.Text), 0o600); err != nil {
			return nil, fmt.Errorf("write CNI file: %w", err)
		}
	}
	return rebuild.Flags(&n.Bundle.Config, manifests, cniDir), nil
}

// quoted returns words as a shell reads them, whatever characters they have.
func quoted(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}
