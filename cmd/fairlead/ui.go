// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/ask"
	"fairlead/internal/httpd"
)

func newUICommand() *cobra.Command {
	var dir string
	var port uint16
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show the status page of the agent of this node in a browser",
		Long: `Forward the status page of the agent of this network namespace from its socket to a
port of the loopback address, and print the address to open. The address has a key
without which the port answers nobody, because other users of the machine reach the
port, too. The command ends with Ctrl-C. It needs to run as root, like all that use the
socket. The exit code is 2 without an agent that answers.`,
		Example: `  fairlead ui
  fairlead ui --port 8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			if err := forwardPage(ctx, cmd.OutOrStdout(), dir, port); err != nil {
				return failedError{err}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "socket-dir", ask.DefaultDir, "directory of the agent's socket")
	cmd.Flags().Uint16Var(&port, "port", 0, "port of the loopback address; 0 is one that is free")
	return cmd
}

// forwardPage serves the page until ctx is done.
func forwardPage(ctx context.Context, out io.Writer, dir string, port uint16) error {
	agent, err := ask.Open(dir)
	if err != nil {
		return err
	}
	if _, err := agent.State(ctx); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("--port: %w", err)
	}
	addr, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return fmt.Errorf("read the own address: %w", err)
	}
	forward := ask.NewForward(agent, addr)
	srv := httpd.NewServer(httpd.NewPool(), forward, 0)
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if _, err := fmt.Fprintf(out, "The status page is at %s\nEnd with Ctrl-C.\n", forward.URL()); err != nil {
		_ = l.Close()
		return err
	}
	return srv.Serve(l)
}
