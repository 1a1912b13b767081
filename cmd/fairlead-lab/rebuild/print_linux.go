// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/output"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Hosts returns all namespaces: the node, its pods, and the host outside.
func (n *Node) Hosts() []*lab.Host {
	hosts := []*lab.Host{n.Host}
	for _, p := range n.Pods {
		hosts = append(hosts, p.Host)
	}
	return append(hosts, n.Outside)
}

// maxShown bounds the pods, and the sentences of what is left out, that are printed.
const maxShown = 40

// Print says what was built and what was left out. Bundles come from anyone, so characters
// that a terminal acts on are escaped.
func (n *Node) Print(out io.Writer) error {
	var b bytes.Buffer
	about := &n.Bundle.About
	fmt.Fprintf(&b, "Rebuilt %s as fairlead %s read it at %s on kernel %s.\n", output.Clean(n.plan.Name), output.Clean(about.Version),
		about.Time.UTC().Format(time.RFC3339), output.Clean(about.Kernel))
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		if here := unix.ByteSliceToString(uts.Release[:]); here != about.Kernel {
			fmt.Fprintf(&b, "This kernel is %s, and may behave in another way.\n", here)
		}
	}
	fmt.Fprintf(&b, "It has %d devices, %d pods, %d routes, %d neighbours and %s.\n\n", len(n.plan.Links)+len(n.Pods)+1, len(n.Pods), len(n.plan.Routes), len(n.plan.Neighbours), n.tableSize())
	fmt.Fprintf(&b, "  %-24s %s\n", "node", n.addresses())
	for i, p := range n.Pods {
		if i == maxShown {
			fmt.Fprintf(&b, "  and %d more pods\n", len(n.Pods)-i)
			break
		}
		fmt.Fprintf(&b, "  %-24s %s on %s%s\n", p.Name, strings.TrimPrefix(output.Clean(p.Title)+", "+joinAddrs(p.Host), p.Addr4.String()+", "), p.Device.Name, answers(p.Ports))
	}
	fmt.Fprintf(&b, "  %-24s %s, which stands for all hosts beyond the node\n", "outside", n.outsideAddrs())
	b.WriteString("\nNot built:\n  Connections that were open, and other nodes with their pods: packets to them leave the node, and nobody answers.\n" +
		"  Packet filters of other programs outside of fairlead's table.\n")
	for i, s := range n.LeftOut {
		if i == maxShown {
			fmt.Fprintf(&b, "  And %d more.\n", len(n.LeftOut)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", output.Clean(s))
	}
	_, err := out.Write(b.Bytes())
	return err
}

func (n *Node) tableSize() string {
	if n.Bundle.Table == nil {
		return "no table of fairlead"
	}
	return fmt.Sprintf("a table of %d chains and %d elements", len(n.Bundle.Table.Found.Chains), n.Bundle.Table.Found.Elements.Len())
}

// addresses returns the addresses of the node's devices but lo and those to pods.
func (n *Node) addresses() string {
	var words []string
	for i := range n.plan.Links {
		l := &n.plan.Links[i]
		for _, p := range l.Addrs {
			if !p.Addr().IsLinkLocalUnicast() && len(words) < maxShown {
				words = append(words, fmt.Sprintf("%s on %s", p.Addr(), l.Name))
			}
		}
	}
	return strings.Join(words, ", ")
}

func (n *Node) outsideAddrs() string {
	var words []string
	for i := range n.plan.Links {
		for _, p := range n.plan.Links[i].Outside {
			words = append(words, p.Addr().String())
		}
	}
	if len(words) == 0 {
		return "without an address"
	}
	return strings.Join(words, ", ")
}

func joinAddrs(h *lab.Host) string {
	var words []string
	for _, a := range h.Addrs() {
		words = append(words, a.String())
	}
	return strings.Join(words, " and ")
}

func answers(ports []inet.Addr) string {
	if len(ports) == 0 {
		return ""
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprintf("%d/%s", p.Port, p.Proto)
	}
	return ", answers on " + strings.Join(words, ", ")
}
