// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fairlead/internal/lab"
)

// enterScript runs a command inside one host of the lab. Only nodes have
// processes, so namespaces are reached through the lab's descriptors.
const enterScript = `#!/bin/sh
# Runs a command, or a shell, inside a node or a pod of the lab.
case ${1-} in
%s*) echo "usage: $0 %s [COMMAND...]" >&2; exit 2 ;;
esac
shift
[ $# -gt 0 ] || set -- "${SHELL:-sh}"
exec nsenter --target %d --user --mount --preserve-credentials --net=/proc/%d/fd/$fd -- "$@"
`

// hosts returns every namespace that somebody may want to look into.
func (w *world) hosts() []*lab.Host {
	hosts := []*lab.Host{}
	for _, n := range w.cluster.Nodes {
		hosts = append(hosts, n.Host)
	}
	for _, n := range w.cluster.Nodes {
		for _, p := range n.Pods() {
			hosts = append(hosts, p.Host)
		}
	}
	return append(hosts, w.cluster.Outside)
}

// writeEnter writes the script that enters the hosts and returns its path.
func (w *world) writeEnter(dir string) (string, error) {
	var cases strings.Builder
	var names []string
	for _, h := range w.hosts() {
		fmt.Fprintf(&cases, "%s) fd=%d ;;\n", h.Name, h.NS.Fd())
		names = append(names, h.Name)
	}
	script := fmt.Sprintf(enterScript, cases.String(), strings.Join(names, "|"), os.Getpid(), os.Getpid())
	path := filepath.Join(dir, "enter")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		return "", fmt.Errorf("write script: %w", err)
	}
	return path, nil
}

// explain tells what there is and how to use it.
func (w *world) explain(out io.Writer, dir string) error {
	enter, err := w.writeEnter(dir)
	if err != nil {
		return err
	}
	w.printCluster(out)
	client, node, vip := w.client.Name, w.cluster.Nodes[0], w.web.at(w.web.ClusterIPs[0])
	_, err = fmt.Fprintf(out, `
Manifests, to be edited:   %s
Logs of the agents:        %s

Enter a node or a pod from another terminal, for example:
  %s %s nft list table inet fairlead
  %s %s bash -c 'head -n 1 </dev/tcp/%s/%d'
A node can be entered by the process ID of its agent, too:
  nsenter --target %d --user --preserve-credentials --net

Ctrl-C ends the lab.
`, w.manifests, w.logs, enter, node.Name, enter, client, vip.IP, vip.Port, w.agents[node.Name].Pid())
	return err
}

// printCluster lists nodes and pods with their addresses.
func (w *world) printCluster(out io.Writer) {
	for _, n := range w.cluster.Nodes {
		agent := "no agent yet"
		if a := w.agents[n.Name]; a != nil {
			agent = fmt.Sprintf("agent is process %d", a.Pid())
		}
		fmt.Fprintf(out, "  %-9s %-36s %s\n", n.Name, addresses(n.Host), agent)
		for _, p := range n.Pods() {
			fmt.Fprintf(out, "    %-9s %s\n", p.Name, addresses(p.Host))
		}
	}
	fmt.Fprintf(out, "  %-9s %s\n", "outside", addresses(w.cluster.Outside))
}

// addresses returns the host's addresses in one string.
func addresses(h *lab.Host) string {
	words := []string{}
	for _, a := range h.Addrs() {
		words = append(words, a.String())
	}
	return strings.Join(words, "  ")
}
