// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/screen"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/jsonerr"
	"fairlead/nat/listing"
)

// Exit codes of fairlead status.
const (
	errFaults   = exitError(1)
	errNotAsked = exitError(2)
)

// statusFlags are the flags of fairlead status.
type statusFlags struct {
	out         output.Flags
	dir, bundle string
	all         fleetFlags
}

func newStatusCommand() *cobra.Command {
	f := &statusFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say in one screen how the agent of this node is",
		Long: `Ask the agent of this network namespace how it is: version, API server, table and
last repair, Services, overlay and its peers, connection tracking, problems and the
last sync. Without an agent the command says so, and what the kernel has. It asks
through a socket that only root may use, and reads the kernel with CAP_NET_ADMIN.
With --all-nodes it asks the agents of all nodes, and says which of them differ from
most others in version, flags or the objects that they know. With --bundle it says what the
agent said when the bundle was written. The exit code is 0 if all is well, 1 if there are
problems, and 2 if an agent could not be asked.

With --all-nodes the command finds the agents by the label of their pods. It needs
the verb list on pods in their namespace and on nodes. It asks through the API
server, which needs the verb get on pods/proxy in that namespace, or with --direct
by the address of each node. Both reach agents that listen on the address of their
node: set metrics.listen=node in the chart, or --metrics-bind-address.`,
		Example: `  fairlead status
  fairlead status -o json
  fairlead status --bundle node.tar.gz
  fairlead status --all-nodes --kubeconfig /etc/kubernetes/admin.conf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(cmd.Flags()); err != nil {
				return failedError{err}
			}
			var code error
			err := f.out.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(ctx context.Context) (r *output.Result, err error) {
				r, code, err = f.read(ctx)
				return r, err
			})
			if err != nil {
				return failedError{err}
			}
			if f.out.Watch {
				return nil
			}
			return code
		},
	}
	var groups cliflag.NamedFlagSets
	f.out.Register(groups.FlagSet("Output"))
	groups.FlagSet("Agent").StringVar(&f.dir, "socket-dir", ask.DefaultDir, "directory of the agent's socket")
	groups.FlagSet("Node to read").StringVar(&f.bundle, "bundle", "", bundleUsage)
	f.all.register(groups.FlagSet("All nodes"))
	options.Sections(cmd, &groups)
	return cmd
}

func (f *statusFlags) validate(set *pflag.FlagSet) error {
	err := errors.Join(f.out.Validate(), f.all.validate(set))
	if f.bundle != "" && (f.all.on || f.out.Watch || set.Changed("socket-dir")) {
		err = errors.Join(err, errors.New("--bundle is about one node at one time: leave out --all-nodes, --watch and --socket-dir"))
	}
	return err
}

// read asks whom the flags say. code is what the process ends with.
func (f *statusFlags) read(ctx context.Context) (r *output.Result, code, err error) {
	switch {
	case f.all.on:
		return fleetStatus(ctx, &f.all)
	case f.bundle != "":
		return savedStatus(ctx, f.bundle)
	}
	return status(ctx, f.dir)
}

// status asks the agent, or reads the kernel. code is what the process ends with.
func status(ctx context.Context, dir string) (r *output.Result, code, err error) {
	agent, err := ask.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := agent.State(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case err != nil:
		k := kernelOf(ctx)
		k.Error = err.Error()
		return &output.Result{Text: k, Value: k}, errNotAsked, nil
	}
	r, code = answered(s)
	return r, code, nil
}

// answered returns what an agent said, and the exit code.
func answered(s *state.State) (r *output.Result, code error) {
	if len(s.Faults()) > 0 {
		code = errFaults
	}
	return &output.Result{Text: screen.Status{State: s}, Value: s}, code
}

// savedStatus is status for a bundle.
func savedStatus(ctx context.Context, bundle string) (r *output.Result, code, err error) {
	node, err := inspect.OpenBundle(bundle)
	if err != nil {
		return nil, nil, err
	}
	s, err := savedState(ctx, node)
	if err != nil {
		k := &screen.Kernel{Error: err.Error(), Saved: true}
		table, err := node.Table(ctx)
		if err != nil {
			k.KernelError = err.Error()
		}
		describe(k, table)
		return &output.Result{Text: k, Value: k}, errNotAsked, nil
	}
	r, code = answered(s)
	return r, code, nil
}

// savedState returns the state of the agent in a bundle.
func savedState(ctx context.Context, node view.Node) (*state.State, error) {
	raw, err := node.Agent(ctx)
	if err != nil {
		return nil, err
	}
	var s state.State
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read agent.json: %w", jsonerr.Plain(raw, err))
	}
	return &s, ask.CheckProtocol(&s)
}

// kernelOf reads what there is without the help of an agent.
func kernelOf(ctx context.Context) *screen.Kernel {
	k := &screen.Kernel{}
	pid, owned, err := node.FindOwner(ctx)
	k.Owner, k.Owned = int(pid), owned
	table, tableErr := inspect.LoadTable(ctx)
	if errors.Is(tableErr, inspect.ErrNoTable) {
		tableErr = nil
	}
	if err := errors.Join(err, tableErr); err != nil {
		k.KernelError = err.Error()
	}
	describe(k, table)
	return k
}

// describe says what a table has; nil is no table.
func describe(k *screen.Kernel, table *listing.Table) {
	if table == nil {
		return
	}
	k.Table = true
	services := map[string]struct{}{}
	for _, f := range table.Frontends("") {
		k.Frontends++
		name, _, _ := strings.Cut(f.Service, ":") // of a port
		services[name] = struct{}{}
	}
	k.Services = len(services)
}
