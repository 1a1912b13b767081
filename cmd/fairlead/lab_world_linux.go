// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// world is a lab with agents on its nodes and Services in files.
type world struct {
	cluster   *lab.Cluster
	manifests string   // directory that all agents watch
	logs      string   // directory of the agents' logs
	overlay   string   // flag of the agents
	flags     []string // more of them
	agents    map[string]*labAgent
	client    *lab.Pod
	web       labService
}

// webPort is what the pods of the lab listen on.
const webPort = 8080

// newWorld builds the cluster, its pods and their Service. The agents are not
// started yet, unless pods need them: then they are.
func newWorld(ctx context.Context, dir string, cfg lab.Config, replicas int, overlay string, flags ...string) (*world, error) {
	w, err := newEmptyWorld(ctx, dir, cfg, overlay, flags...)
	if err != nil {
		return nil, err
	}
	if cfg.PodLink == lab.CNI {
		err = errors.Join(w.writeNodes(), w.startAgents())
	}
	if err == nil {
		err = w.populate(replicas)
	}
	if err != nil {
		return nil, errors.Join(err, w.cluster.Close())
	}
	return w, nil
}

// newEmptyWorld builds a cluster without pods and without manifests.
func newEmptyWorld(ctx context.Context, dir string, cfg lab.Config, overlay string, flags ...string) (w *world, err error) {
	w = &world{
		manifests: filepath.Join(dir, "manifests"),
		logs:      filepath.Join(dir, "logs"),
		overlay:   overlay,
		flags:     flags,
		agents:    map[string]*labAgent{},
		web: labService{
			Name: "web", Port: 80, NodePort: 30080, TargetPort: webPort,
			ClusterIPs: vips(cfg, 10),
		},
	}
	for _, d := range []string{w.manifests, w.logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make directory of the lab: %w", err)
		}
	}
	w.cluster, err = lab.New(ctx, cfg)
	return w, err
}

func (w *world) populate(replicas int) (err error) {
	if w.client, err = w.cluster.Nodes[0].AddPod("client"); err != nil {
		return err
	}
	for i := range replicas {
		e, err := w.addWebPod(fmt.Sprintf("web-%d", i+1), i)
		if err != nil {
			return err
		}
		w.web.Endpoints = append(w.web.Endpoints, e)
	}
	return errors.Join(w.writeNodes(), w.write(w.web))
}

// addWebPod adds a pod with a server to the i-th node, counted round and round.
func (w *world) addWebPod(name string, i int) (labEndpoint, error) {
	return addPodOn(w.cluster.Nodes[i%len(w.cluster.Nodes)], name)
}

func addPodOn(node *lab.Node, name string) (labEndpoint, error) {
	pod, err := node.AddPod(name)
	if err != nil {
		return labEndpoint{}, err
	}
	server, err := pod.Serve(inet.TCP, webPort)
	return labEndpoint{Pod: pod, Server: server}, err
}

func (w *world) writeNodes() error {
	return writeManifest(w.manifests, "nodes.yaml", nodesManifest(w.cluster.Nodes))
}

// write puts a Service with its EndpointSlices into its file.
func (w *world) write(s labService) error {
	return writeManifest(w.manifests, s.Name+".yaml", s.manifest())
}

// waitAnswer dials until somebody answers.
func (w *world) waitAnswer(ctx context.Context, node *lab.Node, at inet.Addr) error {
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
		agent := w.agents[node.Name]
		if err := agent.failed(); err != nil {
			return fmt.Errorf("%s: %w", node.Name, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %s is not served: %w; the agent's log ends with:\n%s", node.Name, at, err, agent.tail())
		}
	}
}

// vips returns the n-th ClusterIP of each family.
func vips(cfg lab.Config, n int) []netip.Addr {
	out := []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, byte(n)})}
	if cfg.IPv6 {
		out = append(out, netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%x", n)))
	}
	return out
}
