// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"fairlead/cmd/fairlead/fleet"
	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/screen"
)

// fleetFlags are the flags of fairlead status about all nodes.
type fleetFlags struct {
	on bool
	fleet.Options
}

func (f *fleetFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "all-nodes", false, "ask the agents of all nodes")
	fs.StringVar(&f.Kubeconfig, "kubeconfig", "", "kubeconfig file; default is KUBECONFIG, ~/.kube/config or the pod's service account")
	fs.StringVarP(&f.Namespace, "namespace", "n", "", "namespace of the agents' pods; default is all")
	fs.StringVarP(&f.Selector, "selector", "l", "app.kubernetes.io/name=fairlead", "labels of the agents' pods")
	fs.BoolVar(&f.Direct, "direct", false, "ask by the addresses of the nodes instead of through the API server")
	fs.StringVar(&f.CAFile, "agent-ca", "", "with --direct, file of certificates that sign those of agents, which get the token of the kubeconfig; default is the system's")
}

// validate returns an error for the first flag that has no effect.
func (f *fleetFlags) validate(fs *pflag.FlagSet) error {
	for flag, ok := range map[string]bool{"kubeconfig": f.on, "namespace": f.on, "selector": f.on, "direct": f.on, "agent-ca": f.on && f.Direct} {
		if fs.Changed(flag) && !ok {
			return fmt.Errorf("--%s: needs --all-nodes%s", flag, map[bool]string{true: " and --direct"}[flag == "agent-ca"])
		}
	}
	if f.on && fs.Changed("socket-dir") {
		return fmt.Errorf("--socket-dir: has no effect with --all-nodes")
	}
	return nil
}

// fleetStatus asks all agents. code is what the process ends with.
func fleetStatus(ctx context.Context, f *fleetFlags) (r *output.Result, code, err error) {
	agents, err := fleet.New(f.Options)
	if err != nil {
		return nil, nil, err
	}
	list, err := agents.Ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range list {
		switch a := &list[i]; {
		case a.State == nil:
			code = errNotAsked
		case !a.Good() && code == nil:
			code = errFaults
		}
	}
	return &output.Result{Text: screen.Fleet{Answers: list}, Value: list}, code, nil
}
