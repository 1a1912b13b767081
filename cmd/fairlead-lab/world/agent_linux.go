// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package world

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"fairlead/internal/lab"
)

// Agent is a fairlead process on one node.
type Agent struct {
	*lab.Process
	log string
}

// StartAgents starts an agent on each node.
func (w *World) StartAgents() error {
	for _, node := range w.Cluster.Nodes {
		if err := w.StartAgent(node); err != nil {
			return err
		}
	}
	return nil
}

// StartAgent runs the program of Options.Agent as the agent of a node. The agent
// appends its log to the node's file in w.Logs.
func (w *World) StartAgent(node *lab.Node) error {
	path := filepath.Join(w.Logs, node.Name+".log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open agent log: %w", err)
	}
	defer func() { _ = out.Close() }() // the agent has a copy

	cmd := exec.Command(w.Agent, append([]string{"run"}, w.AgentFlags(node)...)...)
	cmd.Args[0] = "fairlead"
	cmd.Stdout, cmd.Stderr = out, out
	// Ctrl-C is for the lab, which ends the agents in its own time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := node.Start(cmd)
	if err != nil {
		return err
	}
	w.Agents[node.Name] = &Agent{Process: p, log: path}
	return nil
}

// AgentFlags returns the flags of a node's agent. Commands that read what an agent reads
// take them, too.
func (w *World) AgentFlags(node *lab.Node) []string {
	source := []string{"--manifests", w.Manifests}
	if w.Kubeconfig != "" {
		source = []string{"--kubeconfig", w.Kubeconfig}
	}
	args := append(source,
		"--node-name", node.Name,
		"--cluster-cidr", JoinPrefixes(w.Cluster.Config.ClusterCIDRs()),
		"--overlay", w.Overlay,
		"--ip-masq",
		"--metrics-bind-address", "",
		"-v", "2",
	)
	if cfg := w.Cluster.Config; cfg.PodLink == lab.CNI {
		args = append(args, "--cni-conf-dir", node.CNIConfDir(), "--cni-data-dir", node.CNIDataDir(), "--cni-bin-dir", cfg.CNIBinDir)
	}
	return append(args, w.Flags...)
}

// Failed returns an error if the agent has ended.
func (a *Agent) Failed() error {
	select {
	case <-a.Done():
		return fmt.Errorf("agent ended: %w\n%s", a.Err(), a.Tail())
	default:
		return nil
	}
}

// Tail returns the end of the agent's log, for error messages.
func (a *Agent) Tail() string {
	const most = 2000
	b, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = b[len(b)-most:]
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return strings.TrimSpace(string(b))
}

// WaitAgents waits until every agent serves s, as seen from its own node.
func (w *World) WaitAgents(ctx context.Context, s Service) error {
	for _, node := range w.Cluster.Nodes {
		for _, vip := range s.ClusterIPs {
			if err := w.waitAnswer(ctx, node, s.At(vip)); err != nil {
				return err
			}
		}
	}
	return nil
}

// JoinPrefixes returns prefixes as the value of a flag.
func JoinPrefixes(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
