// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fairlead/internal/cni"
)

// installFlags name the files that the agent needs on the node and only reads.
type installFlags struct {
	from, binDir           string // of CNI plugins
	profile, profileTarget string // of seccomp
}

func newInstallCommand() *cobra.Command {
	f := &installFlags{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Copy CNI plugins and a seccomp profile to this node",
		Long: `Copy CNI plugins and a seccomp profile to this node, then end. An init container
runs it, so that the agent itself needs no write access to those directories. A plugin
that is as new or newer stays.`,
		Example: `  fairlead install --cni-plugins-from /opt/cni/bin --cni-bin-dir /host/opt/cni/bin`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.OutOrStdout())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.from, "cni-plugins-from", "", "directory of the CNI plugins bridge, host-local, loopback and ptp to copy; empty to copy none")
	fs.StringVar(&f.binDir, "cni-bin-dir", cni.DefaultBinDir, "directory where the container runtime looks for CNI plugins")
	fs.StringVar(&f.profile, "seccomp-profile", "", "seccomp profile to copy to --seccomp-to")
	fs.StringVar(&f.profileTarget, "seccomp-to", "", "file below the kubelet's directory of seccomp profiles")
	return cmd
}

func (f *installFlags) run(out io.Writer) error {
	if f.from == "" && f.profile == "" {
		return errors.New("nothing to install: set --cni-plugins-from, --seccomp-profile or both")
	}
	if (f.profile == "") != (f.profileTarget == "") {
		return errors.New("--seccomp-profile and --seccomp-to need each other")
	}
	var errs []error
	if f.from != "" {
		plugins := append(cni.Config{Plugin: cni.PTP}.Plugins(), string(cni.Bridge))
		results, err := cni.InstallPlugins(f.from, f.binDir, plugins)
		for _, r := range results {
			_, _ = fmt.Fprintf(out, "plugin %s: %s (ours %q, theirs %q)\n", r.Plugin, r.Outcome, r.Ours, r.Theirs)
		}
		errs = append(errs, err)
	}
	if f.profile != "" {
		written, err := copyFile(f.profile, f.profileTarget)
		if err != nil {
			err = fmt.Errorf("install seccomp profile: %w", err)
		} else if written {
			_, _ = fmt.Fprintf(out, "seccomp profile: wrote %s\n", f.profileTarget)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// copyFile makes target have the content of source, atomically, and reports whether
// it had to write.
func copyFile(source, target string) (written bool, err error) {
	want, err := os.ReadFile(source)
	if err != nil {
		return false, err
	}
	if have, err := os.ReadFile(target); err == nil && bytes.Equal(have, want) {
		return false, nil
	}
	t, err := os.CreateTemp(filepath.Dir(target), ".fairlead-*")
	if err != nil {
		return false, err
	}
	_, err = t.Write(want)
	err = errors.Join(err, t.Chmod(0o644), t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), target)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(t.Name()))
	}
	return true, nil
}
