// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fairlead/cmd/fairlead-lab/chaos"
	"fairlead/cmd/fairlead-lab/connect"
	"fairlead/cmd/fairlead-lab/demo"
	"fairlead/cmd/fairlead-lab/oom"
	"fairlead/cmd/fairlead-lab/world"
	schedule "fairlead/internal/chaos"
	"fairlead/internal/cni"
	"fairlead/internal/lab"
	"fairlead/overlay"
)

// options are the flags of fairlead-lab.
type options struct {
	agent    string
	nodes    int
	replicas int
	ipv4Only bool
	bridge   bool
	cni      bool
	overlay  string
	demo     bool
	pace     time.Duration
	chaos    bool
	connect  bool
	logs     string
	events   []string
	disturb  chaos.Options
	bundle   string
	pods     int
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "fairlead-lab",
		Short: "Run a small cluster in network namespaces of this machine",
		Long: `fairlead-lab builds nodes, pods and a client outside the cluster out of network
namespaces, runs fairlead on each node, and keeps everything until Ctrl-C. The
agents read Services and EndpointSlices from YAML files, which you can edit
while the lab runs.

It needs no root where user namespaces are allowed. It changes neither the
network of the host nor its nftables.`,
		Example: `  fairlead-lab
  fairlead-lab --demo
  fairlead-lab --nodes 5 --overlay host-gw
  fairlead-lab --bundle fairlead-node-1-20260101T120000Z.tar.gz`,
		Args:              cobra.NoArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.agent, "agent", "", `path of the program fairlead; default the one beside this program, else that in $PATH`)
	f.IntVar(&o.nodes, "nodes", 3, "number of nodes")
	f.IntVar(&o.replicas, "replicas", 4, "number of pods behind the Service default/web")
	f.BoolVar(&o.ipv4Only, "ipv4-only", false, "build the cluster without IPv6")
	f.BoolVar(&o.bridge, "bridge", false, "connect the pods of a node by a bridge instead of a route to each")
	f.BoolVar(&o.cni, "cni", false, "make pods as a container runtime does: with the CNI plugins of this machine (Debian: containernetworking-plugins) and the configuration that the agent of the node wrote")
	f.StringVar(&o.overlay, "overlay", overlay.VXLAN.String(), `how packets get to pods on other nodes: "vxlan" and "vxlan-direct" put each node into its own subnet, "host-gw" puts all into one, "" uses plain routes that the lab makes`)
	f.BoolVar(&o.demo, "demo", false, "play a scenario, print what is done and seen, and end; the exit code is 1 when a check failed")
	f.DurationVar(&o.pace, "pace", time.Second, "time that the demo waits between its steps")
	f.BoolVar(&o.connect, "connectivity-test", false, "try what fairlead connectivity-test tries, print what came of it, and end; the exit code is 1 when a check failed")
	f.BoolVar(&o.chaos, "chaos", false, "disturb the cluster under the load of clients, and say which connections failed; implies --cni, and the exit code is 1 when one did")
	f.Uint64Var(&o.disturb.Seed, "seed", 1, "with --chaos, what the events are drawn from")
	f.DurationVar(&o.disturb.Duration, "duration", time.Minute, "with --chaos, how long it lasts")
	f.DurationVar(&o.disturb.Gap, "gap", 500*time.Millisecond, "with --chaos, mean time between two events")
	f.DurationVar(&o.disturb.Longest, "longest", 0, "with --chaos, how long an agent may be away; 0 for some seconds")
	f.StringSliceVar(&o.events, "events", nil, "with --chaos, kinds of events, each with a weight if you like: kill=20,endpoints=10; default all")
	f.StringVar(&o.bundle, "bundle", "", "rebuild the node of this bundle, a directory or archive of fairlead bundle, instead of a cluster: its devices, routes, settings and pods, and the table as its kernel had it")
	f.IntVar(&o.pods, "pods", 110, "with --bundle, the largest number of pods to build")
	f.StringVar(&o.logs, "logs", "", "directory for the agents' logs, which stays; default one that is removed at the end")
	return cmd
}

// run builds the lab. Outside of the lab's namespaces it starts this program once
// more inside of them.
func (o *options) run(ctx context.Context, out io.Writer) error {
	if o.nodes < 1 || o.replicas < 1 {
		return fmt.Errorf("--nodes %d and --replicas %d must be at least 1", o.nodes, o.replicas)
	}
	if o.cni && o.demo {
		return errors.New("--demo: cannot be combined with --cni, because the demo makes its pods before it starts the agents")
	}
	if o.connect && (o.demo || o.chaos || o.cni) {
		return errors.New("--connectivity-test: cannot be combined with --demo, --chaos or --cni")
	}
	if o.bundle != "" && (o.demo || o.chaos || o.connect || o.cni) {
		return errors.New("--bundle: cannot be combined with --demo, --chaos, --connectivity-test or --cni")
	}
	if err := o.checkChaos(); err != nil {
		return err
	}
	if err := o.findAgent(); err != nil {
		return err
	}
	if dir := os.Getenv(labDirEnv); dir != "" {
		return o.runInside(ctx, out, dir)
	}
	dir, err := os.MkdirTemp("", "fairlead-lab-")
	if err != nil {
		return fmt.Errorf("make directory of the lab: %w", err)
	}
	code, err := relaunchLab(ctx, dir)
	if err := errors.Join(err, os.RemoveAll(dir), oom.Sweep(filepath.Base(dir)+"-")); err != nil {
		return err
	}
	if code != 0 {
		return exitStatusError(code)
	}
	return nil
}

// checkChaos reads the flags of --chaos.
func (o *options) checkChaos() (err error) {
	if !o.chaos {
		return nil
	}
	if o.demo || o.overlay == "" {
		return errors.New("--chaos: needs an --overlay, and cannot be combined with --demo")
	}
	if o.disturb.Duration <= 0 || o.disturb.Gap <= 0 || o.disturb.Longest < 0 {
		return fmt.Errorf("--duration %s and --gap %s must be positive, and --longest %s not negative", o.disturb.Duration, o.disturb.Gap, o.disturb.Longest)
	}
	if o.disturb.Shares, err = schedule.ParseShares(o.events); err != nil {
		return fmt.Errorf("--events: %w", err)
	}
	o.cni = true
	return nil
}

// findAgent sets the path of the agent unless the flag did.
func (o *options) findAgent() error {
	const name = "fairlead"
	if o.agent != "" {
		if _, err := exec.LookPath(o.agent); err != nil {
			return fmt.Errorf("--agent: %w", err)
		}
		return nil
	}
	self, err := os.Executable()
	if err == nil {
		o.agent, err = exec.LookPath(filepath.Join(filepath.Dir(self), name))
	}
	if err != nil {
		o.agent, err = exec.LookPath(name)
	}
	if err != nil {
		return fmt.Errorf("find the program fairlead: set --agent, or build it beside this program: %w", err)
	}
	return nil
}

func (o *options) runInside(ctx context.Context, out io.Writer, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if o.bundle != "" {
		return o.runBundle(ctx, out, dir)
	}
	opts, err := o.world(dir)
	if err != nil {
		return err
	}
	if o.chaos {
		return o.runChaos(ctx, out, opts)
	}
	if o.connect {
		return o.runConnect(ctx, out, opts)
	}
	w, err := world.New(ctx, opts, o.replicas)
	if err != nil {
		return err
	}
	if o.demo {
		err = demo.Run(ctx, w, out, o.pace)
	} else {
		err = stay(ctx, w, out)
	}
	return errors.Join(err, w.Cluster.Close())
}

// runChaos disturbs a cluster of its own.
func (o *options) runChaos(ctx context.Context, out io.Writer, opts world.Options) error {
	w, err := world.NewEmpty(ctx, opts)
	if err != nil {
		return err
	}
	o.disturb.Group = filepath.Base(opts.Dir)
	return errors.Join(chaos.Run(ctx, w, out, o.disturb), w.Cluster.Close())
}

// runConnect tests a cluster of its own.
func (o *options) runConnect(ctx context.Context, out io.Writer, opts world.Options) error {
	w, err := world.NewEmpty(ctx, opts)
	if err != nil {
		return err
	}
	r, err := connect.Run(ctx, w)
	if err == nil {
		err = r.Print(out, false)
	}
	if err == nil && r.Failed > 0 {
		err = demo.ErrChecks
	}
	return errors.Join(err, w.Cluster.Close())
}

// world returns what the lab consists of.
func (o *options) world(dir string) (world.Options, error) {
	cfg := lab.Config{
		Nodes: o.nodes, IPv6: !o.ipv4Only, NoPodRoutes: o.overlay != "",
		Subnets: strings.HasPrefix(o.overlay, overlay.VXLAN.String()),
	}
	if o.bridge {
		cfg.PodLink = lab.Bridge
	}
	var flags []string
	if o.cni {
		plugin := cni.PTP
		if o.bridge {
			plugin = cni.Bridge
		}
		bin, err := lab.FindPlugins(cni.Config{Plugin: plugin}.Plugins()...)
		if err != nil {
			return world.Options{}, err
		}
		cfg.PodLink, cfg.CNIDir, cfg.CNIBinDir = lab.CNI, filepath.Join(dir, "cni"), bin
		flags = []string{"--cni-plugin", string(plugin)}
	}
	return world.Options{Dir: dir, Lab: cfg, Agent: o.agent, Overlay: o.overlay, Flags: flags, Logs: o.logs}, nil
}

// stay starts the agents, prints how to look around and waits for the end.
func stay(ctx context.Context, w *world.World, out io.Writer) error {
	if len(w.Agents) == 0 {
		if err := w.StartAgents(); err != nil {
			return err
		}
	}
	if err := w.WaitAgents(ctx, w.Web); err != nil {
		return err
	}
	if err := explain(w, out); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Fprintln(out, "\nTaking the lab down.")
	return nil
}
