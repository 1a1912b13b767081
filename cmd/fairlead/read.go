// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/doctor"
	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/cni"
)

// readFlags are the flags of commands that read a node: the one that they run on, with
// the flags of its agent, or a bundle.
type readFlags struct {
	run    *options.Run
	bundle string
}

// bundleChecks bounds the time of the checks whose outcome is part of a bundle.
const bundleChecks = time.Minute

const bundleUsage = "read a bundle, a directory or archive of fairlead bundle, instead of this node"

// register adds the flags to cmd. add puts the command's own flags into groups.
func (f *readFlags) register(cmd *cobra.Command, add func(*cliflag.NamedFlagSets)) {
	f.run = options.NewRun()
	f.run.RegisterWith(cmd, func(groups *cliflag.NamedFlagSets) {
		add(groups)
		groups.FlagSet("Node to read").StringVar(&f.bundle, "bundle", "", bundleUsage)
	})
}

// node returns the node that the flags name.
func (f *readFlags) node(cmd *cobra.Command) (view.Node, error) {
	if f.bundle != "" {
		if err := f.saved(cmd); err != nil {
			return nil, err
		}
		return inspect.OpenBundle(f.bundle)
	}
	cfg, source, err := f.config(cmd)
	if err != nil {
		return nil, err
	}
	live := inspect.Live{
		Version: options.Version(), Manifests: cfg.Manifests,
		Config: view.Config{Table: cfg.Proxier, CNIConfDir: cmp.Or(cfg.Node.CNI.ConfDir, cni.DefaultDir), Source: source},
		Client: agent.ClientOf(cfg),
		Agent: func(ctx context.Context) (json.RawMessage, error) {
			return askAgent[json.RawMessage](ctx, cfg.Serve.SocketDir, state.Path)
		},
		AgentLog: func(ctx context.Context) (*state.Log, error) {
			log, err := askAgent[state.Log](ctx, cfg.Serve.SocketDir, state.LogPath)
			return &log, err
		},
		Check: func(ctx context.Context) (*finding.Report, error) {
			ctx, cancel := context.WithTimeout(ctx, bundleChecks)
			defer cancel()
			return doctor.Run(ctx, f.checks(cmd, cfg, source)), nil
		},
	}
	return live.Node(), nil
}

// config returns the configuration of the agent: the one that the flags say or, without
// any of them, the one of the agent that runs in this network namespace.
func (f *readFlags) config(cmd *cobra.Command) (cfg *options.Config, source string, err error) {
	if args := inspect.AgentArgs(); args != nil && len(f.given(cmd)) == 0 {
		run, flags := options.NewRun(), &cobra.Command{}
		run.Register(flags)
		if err := flags.ParseFlags(args); err != nil {
			return nil, "", fmt.Errorf("read the flags of the running agent: %w", err)
		}
		quiet := flags.Flags().Set("v", "0")
		cfg, err := run.Config(flags.Flags())
		if err := errors.Join(quiet, err); err != nil {
			return nil, "", fmt.Errorf("read the flags of the running agent: %w", err)
		}
		return cfg, "agent", nil
	}
	cfg, err = f.run.Config(cmd.Flags())
	return cfg, "flags", err
}

// saved refuses flags that have no effect with --bundle: those that say how the agent runs,
// which the bundle knows, and those of the command that ask for more than it has.
func (f *readFlags) saved(cmd *cobra.Command, live ...string) error {
	useless := f.given(cmd)
	for _, name := range live {
		if cmd.Flags().Changed(name) {
			useless = append(useless, name)
		}
	}
	if flag := cmd.Flags().Lookup("watch"); flag != nil && flag.Changed {
		useless = append(useless, "watch")
	}
	if len(useless) == 0 {
		return nil
	}
	return fmt.Errorf("--bundle is about one node at one time, with the flags of its agent: leave out --%s", strings.Join(useless, ", --"))
}

// given returns the flags of the agent that the user set, apart from those of the log.
func (f *readFlags) given(cmd *cobra.Command) (names []string) {
	run := newRunCommand().Flags()
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if run.Lookup(flag.Name) != nil && !slices.Contains([]string{"v", "vmodule", "logging-format", "log-flush-frequency"}, flag.Name) {
			names = append(names, flag.Name)
		}
	})
	return names
}

// askAgent asks the running agent, whose socket is in dir.
func askAgent[T any](ctx context.Context, dir, path string) (out T, err error) {
	client, err := ask.Open(cmp.Or(dir, ask.DefaultDir))
	if err != nil {
		return out, err
	}
	err = client.Get(ctx, path, &out)
	return out, err
}
