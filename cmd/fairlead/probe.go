// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/reach"
	"fairlead/cmd/fairlead/reach/plan"
	"fairlead/cmd/fairlead/reach/talk"
)

// probeFlags are what a pod of a test does.
type probeFlags struct {
	client plan.Client
	port   uint16
	world  string
}

// newProbeCommand returns the command that runs in the pods of tests. It is hidden,
// because nobody else needs it.
func newProbeCommand() *cobra.Command {
	f := &probeFlags{}
	cmd := &cobra.Command{
		Use:    "probe",
		Short:  "Serve or try in a pod of fairlead connectivity-test",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return f.run(ctx, cmd)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.client.Node, "node", "", "name of the node")
	fs.BoolVar(&f.client.Host, "host", false, "the pod is in the network of the node")
	fs.Uint16Var(&f.port, "port", 0, "TCP and UDP port to serve on; 0 is none")
	fs.StringVar(&f.world, "world", "", "file that says what to try; then the process ends")
	return cmd
}

func (f *probeFlags) run(ctx context.Context, cmd *cobra.Command) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	if f.port != 0 {
		s, err := talk.Listen(f.name(), f.port)
		if err != nil {
			return err
		}
		g.Go(func() error { return s.Run(ctx) })
	}
	if f.world != "" {
		g.Go(func() error {
			defer cancel() // the server's work is done
			return reach.Client(ctx, f.world, f.client, cmd.OutOrStdout())
		})
	}
	if f.port == 0 && f.world == "" {
		return errors.New("nothing to do: set --port, --world or both")
	}
	return g.Wait()
}

// name returns what the server calls itself.
func (f *probeFlags) name() string {
	switch {
	case f.world != "":
		return plan.ClientServer(f.client.Node)
	case f.client.Host:
		return plan.NodeServer(f.client.Node)
	}
	return plan.PodServer(f.client.Node)
}
