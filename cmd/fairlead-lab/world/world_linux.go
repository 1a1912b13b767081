// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package world

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// World is a cluster in namespaces with an agent on each node. Its Services are in
// files, which all agents watch. Its methods are not safe for concurrent use.
type World struct {
	Options
	Cluster   *lab.Cluster
	Manifests string            // directory that all agents watch
	Agents    map[string]*Agent // by the name of their node
	Client    *lab.Pod          // on the first node
	Web       Service           // in front of the pods web-1, web-2 and so on
}

// Options say what a World consists of.
type Options struct {
	Dir     string // where manifests and logs are written
	Lab     lab.Config
	Agent   string   // path of the program fairlead
	Overlay string   // the agents' flag --overlay
	Flags   []string // more flags of the agents
	// Kubeconfig names the file that leads agents to an API server. Without it they read
	// the manifests.
	Kubeconfig string
	Logs       string // directory of the agents' logs; default one in Dir
}

// WebPort is the TCP port that pods behind the Service web listen on.
const WebPort = 8080

// New builds the cluster, a client, and as many pods behind the Service web as
// replicas says. It starts the agents only if pods are made by CNI plugins, which
// need what an agent writes; call StartAgents otherwise.
func New(ctx context.Context, o Options, replicas int) (*World, error) {
	w, err := NewEmpty(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Lab.PodLink == lab.CNI {
		err = errors.Join(w.WriteNodes(), w.StartAgents())
	}
	if err == nil {
		err = w.populate(replicas)
	}
	if err != nil {
		return nil, errors.Join(err, w.Cluster.Close())
	}
	return w, nil
}

// NewEmpty builds a cluster without pods, manifests and agents.
func NewEmpty(ctx context.Context, o Options) (w *World, err error) {
	w = &World{
		Options:   o,
		Manifests: filepath.Join(o.Dir, "manifests"),
		Agents:    map[string]*Agent{},
		Web: Service{
			Name: "web", Port: 80, NodePort: 30080, TargetPort: WebPort,
			ClusterIPs: VIPs(o.Lab, 10),
		},
	}
	w.Logs = cmp.Or(o.Logs, filepath.Join(o.Dir, "logs"))
	for _, d := range []string{w.Manifests, w.Logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make directory of the lab: %w", err)
		}
	}
	w.Cluster, err = lab.New(ctx, o.Lab)
	return w, err
}

func (w *World) populate(replicas int) (err error) {
	if w.Client, err = w.Cluster.Nodes[0].AddPod("client"); err != nil {
		return err
	}
	for i := range replicas {
		e, err := w.AddWebPod(fmt.Sprintf("web-%d", i+1), i)
		if err != nil {
			return err
		}
		w.Web.Endpoints = append(w.Web.Endpoints, e)
	}
	return errors.Join(w.WriteNodes(), w.Write(w.Web))
}

// AddWebPod adds a pod with a server to the i-th node, modulo their number.
func (w *World) AddWebPod(name string, i int) (Endpoint, error) {
	return AddPodOn(w.Cluster.Nodes[i%len(w.Cluster.Nodes)], name)
}

// AddPodOn adds a pod to a node, and starts a server in it on WebPort.
func AddPodOn(node *lab.Node, name string) (Endpoint, error) {
	pod, err := node.AddPod(name)
	if err != nil {
		return Endpoint{}, err
	}
	server, err := pod.Serve(inet.TCP, WebPort)
	return Endpoint{Pod: pod, Server: server}, err
}

// WriteNodes writes the file of Node objects.
func (w *World) WriteNodes() error {
	return WriteManifest(w.Manifests, "nodes.yaml", NodesManifest(w.Cluster.Nodes))
}

// Write writes the file of a Service and its EndpointSlices.
func (w *World) Write(s Service) error {
	return WriteManifest(w.Manifests, s.Name+".yaml", s.Manifest())
}

// waitAnswer dials until a server answers.
func (w *World) waitAnswer(ctx context.Context, node *lab.Node, at inet.Addr) error {
	const patience, interval = 15 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		try, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err := node.Dial(try, at)
		stop()
		if err == nil {
			return nil
		}
		agent := w.Agents[node.Name]
		if err := agent.Failed(); err != nil {
			return fmt.Errorf("%s: %w", node.Name, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %s is not served: %w; the agent's log ends with:\n%s", node.Name, at, err, agent.Tail())
		}
	}
}

// VIPs returns the n-th ClusterIP of each family.
func VIPs(cfg lab.Config, n int) []netip.Addr {
	out := []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, byte(n)})}
	if cfg.IPv6 {
		out = append(out, netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%x", n)))
	}
	return out
}

// Hosts returns all namespaces of the cluster: nodes, pods, the host outside.
func (w *World) Hosts() []*lab.Host {
	hosts := []*lab.Host{}
	for _, n := range w.Cluster.Nodes {
		hosts = append(hosts, n.Host)
	}
	for _, n := range w.Cluster.Nodes {
		for _, p := range n.Pods() {
			hosts = append(hosts, p.Host)
		}
	}
	return append(hosts, w.Cluster.Outside)
}

// Print lists nodes and pods with their addresses.
func (w *World) Print(out io.Writer) {
	for _, n := range w.Cluster.Nodes {
		agent := "no agent yet"
		if a := w.Agents[n.Name]; a != nil {
			agent = fmt.Sprintf("agent is process %d", a.Pid())
		}
		fmt.Fprintf(out, "  %-9s %-36s %s\n", n.Name, addresses(n.Host), agent)
		for _, p := range n.Pods() {
			fmt.Fprintf(out, "    %-9s %s\n", p.Name, addresses(p.Host))
		}
	}
	fmt.Fprintf(out, "  %-9s %s\n", "outside", addresses(w.Cluster.Outside))
}

// addresses returns the host's addresses in one string.
func addresses(h *lab.Host) string {
	words := []string{}
	for _, a := range h.Addrs() {
		words = append(words, a.String())
	}
	return strings.Join(words, "  ")
}
