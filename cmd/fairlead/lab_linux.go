// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fairlead/internal/cni"
	"fairlead/internal/lab"
	"fairlead/overlay"
)

// labOptions are the flags of fairlead lab.
type labOptions struct {
	nodes    int
	replicas int
	ipv4Only bool
	bridge   bool
	cni      bool
	overlay  string
	demo     bool
	pace     time.Duration
}

// newLabCommand returns the command "lab".
func newLabCommand() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a small cluster in network namespaces of this machine",
		Long: `Builds nodes, pods and a client outside out of network namespaces, runs the real
agent on each node, and keeps all of it until Ctrl-C. The agents read Services
and EndpointSlices from YAML files, which may be edited meanwhile.

It needs no root where user namespaces are allowed, and it touches neither the
host's network nor its nftables.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := o.run(cmd.Context(), cmd.OutOrStdout())
			if errors.Is(err, errChecks) {
				os.Exit(1) // the demo's last line has said so
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "How many nodes the cluster has.")
	f.IntVar(&o.replicas, "replicas", 4, "How many pods the Service default/web has.")
	f.BoolVar(&o.ipv4Only, "ipv4-only", false, "Leave out IPv6.")
	f.BoolVar(&o.bridge, "bridge", false, "Join the pods of a node by a bridge instead of routing to each.")
	f.BoolVar(&o.cni, "cni", false, "Make pods as a container runtime does: with the CNI plugins that are installed here (Debian: containernetworking-plugins) and the configuration that the agent of the node wrote.")
	f.StringVar(&o.overlay, "overlay", overlay.VXLAN.String(), `How packets get to pods on other nodes: "vxlan" and "vxlan-direct" with nodes in different subnets, "host-gw" with all in one, or "" for plain routes that are there from the start.`)
	f.BoolVar(&o.demo, "demo", false, "Run a scenario, print what is done and seen, and end. The exit code is 1 when a check failed.")
	f.DurationVar(&o.pace, "pace", time.Second, "How long the demo waits between its steps, for those who read along.")
	return cmd
}

// errChecks ends a demo whose checks did not all pass; they said so themselves.
var errChecks = errors.New("not all checks passed")

// run is the whole command: outside the lab's namespaces it goes there first.
func (o labOptions) run(ctx context.Context, out io.Writer) error {
	if o.nodes < 1 || o.replicas < 1 {
		return fmt.Errorf("--nodes %d and --replicas %d must be at least 1", o.nodes, o.replicas)
	}
	if o.cni && o.demo {
		return errors.New("--demo: its pods are there before the agents that --cni needs")
	}
	if dir := os.Getenv(labDirEnv); dir != "" {
		return o.runInside(ctx, out, dir)
	}
	dir, err := os.MkdirTemp("", "fairlead-lab-")
	if err != nil {
		return fmt.Errorf("make directory of the lab: %w", err)
	}
	code, err := relaunchLab(ctx, dir)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	if code != 0 {
		os.Exit(code) // the lab itself has said why
	}
	return nil
}

func (o labOptions) runInside(ctx context.Context, out io.Writer, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	cfg, flags, err := o.config(dir)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, dir, cfg, o.replicas, o.overlay, flags...)
	if err != nil {
		return err
	}
	if o.demo {
		err = runDemo(ctx, w, out, o.pace)
	} else {
		err = o.stay(ctx, w, out, dir)
	}
	return errors.Join(err, w.cluster.Close())
}

// config returns what the lab is to look like, and flags of its agents.
func (o labOptions) config(dir string) (cfg lab.Config, flags []string, err error) {
	cfg = lab.Config{
		Nodes: o.nodes, IPv6: !o.ipv4Only, NoPodRoutes: o.overlay != "",
		Subnets: strings.HasPrefix(o.overlay, overlay.VXLAN.String()),
	}
	if o.bridge {
		cfg.PodLink = lab.Bridge
	}
	if o.cni {
		plugin := cni.PTP
		if o.bridge {
			plugin = cni.Bridge
		}
		bin, err := lab.FindPlugins(cni.Config{Plugin: plugin}.Plugins()...)
		if err != nil {
			return cfg, nil, err
		}
		cfg.PodLink, cfg.CNIDir, cfg.CNIBinDir = lab.CNI, filepath.Join(dir, "cni"), bin
		flags = []string{"--cni-plugin", string(plugin)}
	}
	return cfg, flags, nil
}

// stay starts the agents, says how to look around and waits for the end.
func (o labOptions) stay(ctx context.Context, w *world, out io.Writer, dir string) error {
	if len(w.agents) == 0 {
		if err := w.startAgents(); err != nil {
			return err
		}
	}
	if err := w.waitAgents(ctx, w.web); err != nil {
		return err
	}
	if err := w.explain(out, dir); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Fprintln(out, "\nTaking the lab down.")
	return nil
}
