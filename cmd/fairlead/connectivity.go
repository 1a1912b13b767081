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
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/reach"
)

// errChecks is the exit code of tests in which something failed.
const errChecks = exitError(1)

// reachFlags are the flags of commands that test a cluster with pods.
type reachFlags struct {
	reach.Options
	format, junit string
}

func newConnectivityCommand() *cobra.Command {
	var f reachFlags
	cmd := &cobra.Command{
		Use:   "connectivity-test",
		Short: "Try every kind of Service from every node of a cluster",
		Long: `Test the network of a cluster with pods and Services that the command makes and removes.
On each node a pod and the node itself try pods and nodes, ClusterIPs, NodePorts, external
IPs, addresses of a load balancer, both traffic policies, session affinity, a pod that
reaches itself through its Service, headless Services, DNS, and addresses outside of the
cluster, over TCP and UDP and each IP version that pods have. Each failure says from where
to where, what was wanted and found, and which command finds the cause.

The pods run the image of fairlead. The command reads their logs, so that it works from
wherever kubectl does. It makes the namespace and removes it; of a namespace that exists it
removes its own objects only. It removes them also when it is interrupted; what a killed
test left, the next one removes, and its pods end by themselves. The page
connectivity-test.md lists the rights that it needs. The exit code is 0 if all checks
passed, 1 if one failed, and 2 if the test could not be done.`,
		Example: `  fairlead connectivity-test
  fairlead connectivity-test --egress example.com:443 --junit connectivity.xml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, reach.Run) },
	}
	var groups cliflag.NamedFlagSets
	f.register(groups.FlagSet("Test"))
	fs := groups.FlagSet("Test")
	fs.Uint16Var(&f.PodHostPort, "pod-host-port", 18472, "free port of the nodes that leads to the servers in the pod network, as their hostPort; 0 tries none")
	fs.IntVar(&f.Peers, "peers", 8, "other nodes that each node tries by their addresses; 0 is all")
	fs.StringArrayVar(&f.Egress, "egress", nil, "HOST:PORT outside of the cluster that pods connect to over TCP, repeated for more")
	f.registerOutput(groups.FlagSet("Output"))
	options.Sections(cmd, &groups)
	return cmd
}

func (f *reachFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Kubeconfig, "kubeconfig", "", "kubeconfig file; default is KUBECONFIG, ~/.kube/config or the pod's service account")
	fs.StringVarP(&f.Namespace, "namespace", "n", reach.DefaultNamespace, "namespace of the test; it is made and removed unless it exists")
	fs.StringVar(&f.Image, "image", "", "image of fairlead for the pods; default is that of the agents")
	fs.StringSliceVar(&f.Nodes, "nodes", nil, "nodes that take part; default is all that are ready")
	fs.Uint16Var(&f.HostPort, "host-port", 18471, "free port of the nodes, for servers in their network")
	fs.DurationVar(&f.Timeout, "timeout", 5*time.Minute, "time for the whole test, without its removal")
	fs.BoolVar(&f.Keep, "keep", false, "leave the pods and Services in place, to look at them; the next test removes them")
}

func (f *reachFlags) registerOutput(fs *pflag.FlagSet) {
	fs.StringVarP(&f.format, "output", "o", "table", "table, wide, json, yaml")
	fs.StringVar(&f.junit, "junit", "", "file to write for continuous integration, as JUnit's XML")
}

// run tests and prints.
func (f *reachFlags) run(cmd *cobra.Command, test func(context.Context, reach.Options, reach.Progress) (*reach.Report, error)) error {
	out := output.Flags{Format: f.format}
	if err := errors.Join(out.Validate(), f.Validate()); err != nil {
		return failedError{err}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	report, err := test(ctx, f.Options, progress(cmd.ErrOrStderr()))
	if report != nil && len(report.Checks) > 0 {
		err = errors.Join(err, out.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(context.Context) (*output.Result, error) {
			return &output.Result{Text: report, Value: report}, nil
		}), f.writeJUnit(report))
	}
	switch {
	case err != nil:
		return failedError{err}
	case report.Failed > 0:
		return errChecks
	}
	return nil
}

func (f *reachFlags) writeJUnit(r *reach.Report) (err error) {
	if f.junit == "" {
		return nil
	}
	file, err := os.Create(f.junit)
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	if err := errors.Join(r.JUnit(file), file.Close()); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}

// barWidth is the width of a progress bar, in characters.
const barWidth = 30

// progress prints steps, and on a terminal a bar.
func progress(out io.Writer) reach.Progress {
	file, ok := out.(*os.File)
	terminal := false
	if ok {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	clearLine := ""
	if terminal {
		clearLine = "\r\x1b[K"
	}
	p := reach.Progress{Say: func(text string) { _, _ = fmt.Fprintln(out, clearLine+output.Clean(text)) }}
	if terminal {
		p.At = func(done, total, failed int) {
			bar := make([]byte, barWidth)
			for i := range bar {
				bar[i] = " #"[min(1, (done*barWidth/max(1, total))/(i+1))]
			}
			_, _ = fmt.Fprintf(out, "%s[%s] %d of %d, %d failed", clearLine, bar, done, total, failed)
			if done == total {
				_, _ = fmt.Fprintln(out)
			}
		}
	}
	return p
}
