// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/agent"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/cni"
)

// readFlags are the flags of commands that read a node: the one that they run on, with
// the flags of its agent, or a bundle.
type readFlags struct {
	run    *options.Run
	bundle string
}

// register adds the flags to cmd. add puts the command's own flags into groups.
func (f *readFlags) register(cmd *cobra.Command, add func(*cliflag.NamedFlagSets)) {
	f.run = options.NewRun()
	f.run.RegisterWith(cmd, func(groups *cliflag.NamedFlagSets) {
		add(groups)
		groups.FlagSet("Node to read").StringVar(&f.bundle, "bundle", "", "read a bundle, a directory or archive of fairlead bundle, instead of this node")
	})
}

// node returns the node that the flags name.
func (f *readFlags) node(cmd *cobra.Command) (view.Node, error) {
	if f.bundle != "" {
		return inspect.OpenBundle(f.bundle)
	}
	cfg, err := f.run.Config(cmd.Flags())
	if err != nil {
		return nil, err
	}
	live := inspect.Live{
		Version: options.Version(), Manifests: cfg.Manifests,
		Config: view.Config{Table: cfg.Proxier, CNIConfDir: cmp.Or(cfg.Node.CNI.ConfDir, cni.DefaultDir), Source: "flags"},
		Client: agent.ClientOf(cfg),
	}
	return live.Node(), nil
}
