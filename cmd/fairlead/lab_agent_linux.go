// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

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

// labAgent is the real agent, running on one node of the lab.
type labAgent struct {
	*lab.Process
	log string
}

// startAgents starts an agent on each node.
func (w *world) startAgents() error {
	for _, node := range w.cluster.Nodes {
		if err := w.startAgent(node); err != nil {
			return err
		}
	}
	return nil
}

// startAgent runs this very program as the agent of a node. Its log is appended
// to a file of its own.
func (w *world) startAgent(node *lab.Node) error {
	path := filepath.Join(w.logs, node.Name+".log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open agent log: %w", err)
	}
	defer func() { _ = out.Close() }() // the agent has a copy

	args := []string{
		"run",
		"--manifests", w.manifests,
		"--node-name", node.Name,
		"--cluster-cidr", joinPrefixes(w.cluster.Config.ClusterCIDRs()),
		"--overlay", w.overlay,
		"--ip-masq",
		"--metrics-bind-address", "",
		"-v", "2",
	}
	if cfg := w.cluster.Config; cfg.PodLink == lab.CNI {
		args = append(args, "--cni-conf-dir", node.CNIConfDir(), "--cni-data-dir", node.CNIDataDir(), "--cni-bin-dir", cfg.CNIBinDir)
	}
	cmd := exec.Command("/proc/self/exe", append(args, w.flags...)...)
	cmd.Args[0] = "fairlead"
	cmd.Stdout, cmd.Stderr = out, out
	// Ctrl-C is for the lab, which ends the agents in its own time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := node.Start(cmd)
	if err != nil {
		return err
	}
	w.agents[node.Name] = &labAgent{Process: p, log: path}
	return nil
}

// failed returns why an agent that should be running is not.
func (a *labAgent) failed() error {
	select {
	case <-a.Done():
		return fmt.Errorf("agent ended: %w\n%s", a.Err(), a.tail())
	default:
		return nil
	}
}

// tail returns the end of the agent's log, for error messages.
func (a *labAgent) tail() string {
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

// waitAgents waits until every agent serves s, as seen from its own node.
func (w *world) waitAgents(ctx context.Context, s labService) error {
	for _, node := range w.cluster.Nodes {
		for _, vip := range s.ClusterIPs {
			if err := w.waitAnswer(ctx, node, s.at(vip)); err != nil {
				return err
			}
		}
	}
	return nil
}

func joinPrefixes(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
