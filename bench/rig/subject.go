// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"fairlead/internal/lab"
)

// Subject is a program that is measured.
type Subject struct {
	Name    string
	command func(r *Rig, s *Seat, kubeconfig string) (*exec.Cmd, error)
}

// Names of the subjects.
const (
	Fairlead = "fairlead"
	NFTables = "kube-proxy nftables"
	IPTables = "kube-proxy iptables"
	Watch    = "bare watch"
	Direct   = "direct"

	FlannelOnly = "flannel"
	Flanneled   = "flannel, kube-proxy nftables"
	Hand        = "hand-made"
)

// FairleadAgent is the agent of this repository.
func FairleadAgent(more ...string) Subject {
	return Subject{Fairlead, func(r *Rig, s *Seat, kubeconfig string) (*exec.Cmd, error) {
		args := []string{"run", "--kubeconfig", kubeconfig, "--node-name", s.Node.Name, "--cluster-cidr", PodNet.String()}
		return exec.Command(filepath.Join(r.Bin, "fairlead"), append(args, more...)...), nil
	}}
}

// proxyConfig is kube-proxy's default except for the mode, and for what it may not do
// in a network namespace.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
clusterCIDR: %s
hostnameOverride: %s
nodePortAddresses: [primary]
oomScoreAdj: 0
clientConnection:
  kubeconfig: %s
  contentType: application/vnd.kubernetes.protobuf
iptables:
  localhostNodePorts: false
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`

// KubeProxy is the real one, in mode nftables or iptables.
func KubeProxy(mode string) Subject {
	return Subject{"kube-proxy " + mode, func(r *Rig, s *Seat, kubeconfig string) (*exec.Cmd, error) {
		path := filepath.Join(r.Dir, s.Node.Name+"-kube-proxy.yaml")
		text := fmt.Sprintf(proxyConfig, mode, PodNet, s.Node.Name, kubeconfig)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(r.Bin, "controlplane"), "kube-proxy", "--config", path)
		cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(r.Dir, s.Node.Name+"-xtables.lock"))
		return cmd, nil
	}}
}

// Agent is a subject that runs on a seat.
type Agent struct {
	process *lab.Process
	log     string
}

// Start runs a subject on a seat. The subject ends with the rig.
func (r *Rig) Start(_ context.Context, subject Subject, s *Seat) (*Agent, error) {
	kubeconfig, err := r.Kubeconfig(s.Node.Name)
	if err != nil {
		return nil, err
	}
	cmd, err := subject.command(r, s, kubeconfig)
	if err != nil {
		return nil, err
	}
	a := &Agent{log: filepath.Join(r.Dir, s.Node.Name+"-"+strings.ReplaceAll(subject.Name, " ", "-")+".log")}
	out, err := os.Create(a.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the program has a copy
	cmd.Stdout, cmd.Stderr = out, out
	a.process, err = s.Node.Start(cmd)
	return a, err
}

// Stop ends the agent and leaves what it made.
func (a *Agent) Stop() error { return a.process.Close() }

// Freeze keeps the agent from using the processor until Thaw.
func (a *Agent) Freeze() error { return a.process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (a *Agent) Thaw() error { return a.process.Signal(syscall.SIGCONT) }

// Alive returns an error with the end of the log if the agent has ended.
func (a *Agent) Alive() error {
	select {
	case <-a.process.Done():
		b, _ := os.ReadFile(a.log)
		return fmt.Errorf("it ended (%w); its log ends with: %s", a.process.Err(), b[max(0, len(b)-1000):])
	default:
		return nil
	}
}
