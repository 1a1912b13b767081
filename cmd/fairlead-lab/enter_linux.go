// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fairlead/cmd/fairlead-lab/world"
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

// writeEnter writes the script that enters the hosts and returns its path. Their names
// have letters, digits and hyphens only.
func writeEnter(dir string, hosts []*lab.Host) (string, error) {
	var cases strings.Builder
	var names []string
	for _, h := range hosts {
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

// explain prints the cluster and how to look into it.
func explain(w *world.World, out io.Writer) error {
	enter, err := writeEnter(w.Dir, w.Hosts())
	if err != nil {
		return err
	}
	w.Print(out)
	client, node, vip := w.Client.Name, w.Cluster.Nodes[0], w.Web.At(w.Web.ClusterIPs[0])
	_, err = fmt.Fprintf(out, `
Manifests, to be edited:   %s
Logs of the agents:        %s

Enter a node or a pod from another terminal, for example:
  %s %s nft list table inet fairlead
  %s %s bash -c 'head -n 1 </dev/tcp/%s/%d'
A node can be entered by the process ID of its agent, too:
  nsenter --target %d --user --preserve-credentials --net

Ctrl-C ends the lab.
`, w.Manifests, w.Logs, enter, node.Name, enter, client, vip.IP, vip.Port, w.Agents[node.Name].Pid())
	return err
}
