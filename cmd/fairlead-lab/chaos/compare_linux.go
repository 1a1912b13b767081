// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
)

// settle waits until each node has exactly what the objects ask for.
func (r *runner) settle(ctx context.Context) error {
	for _, node := range r.Cluster.Nodes {
		var last string
		err := world.Poll(ctx, settleTime, func() bool {
			last = r.diff(node)
			return last == ""
		}, "%s: the table differs from the objects", node.Name)
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, last)
		}
	}
	return nil
}

// diff returns what fairlead diff prints about a node; empty without differences.
func (r *runner) diff(node *lab.Node) string {
	var out, logs bytes.Buffer
	cmd := exec.Command(r.Agent, slices.Concat([]string{"diff"}, r.AgentFlags(node), []string{"-v", "0"})...)
	cmd.Stdout, cmd.Stderr = &out, &logs
	p, err := node.Start(cmd)
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		return fmt.Sprintf("%s%s%v", out.String(), logs.String(), err)
	}
	return out.String()
}

// rebuild removes what agents made on each node, lets new agents build it from nothing,
// and compares the two.
func (r *runner) rebuild(ctx context.Context) error {
	for _, node := range r.Cluster.Nodes {
		before, err := state(ctx, node)
		if err != nil {
			return err
		}
		if err := r.raze(ctx, node); err != nil {
			return err
		}
		if err := r.startAgent(node); err != nil {
			return err
		}
		var differ string
		err = world.Poll(ctx, settleTime, func() bool {
			after, err := state(ctx, node)
			differ = differences(before, after)
			return err == nil && differ == ""
		}, "%s: after the events the kernel has something else than what is built from nothing", node.Name)
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, differ)
		}
	}
	return r.settle(ctx)
}

// raze ends the agent of a node and removes what it made.
func (r *runner) raze(ctx context.Context, node *lab.Node) error {
	agent := r.Agents[node.Name]
	if err := agent.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := agent.Err(); err != nil {
		return fmt.Errorf("end the agent of %s: %w", node.Name, err)
	}
	if _, err := world.RunIn(ctx, node.Host, "nft", "delete", "table", "inet", "fairlead"); err != nil {
		return err
	}
	links, err := tunnels(node)
	for _, link := range links {
		err = errors.Join(err, node.Netlink().LinkDel(link))
	}
	return err
}

// state describes what an agent made on a node, in an order and with words that do not
// depend on how it came about.
func state(ctx context.Context, node *lab.Node) ([]string, error) {
	text, err := world.RunIn(ctx, node.Host, "nft", "--stateless", "list", "table", "inet", "fairlead")
	if err != nil {
		return nil, err
	}
	out := canonical(text)
	links, err := tunnels(node)
	for _, link := range links {
		name := link.Attrs().Name
		out = append(out, fmt.Sprintf("device %s mtu %d", name, link.Attrs().MTU))
		list, e := routes(node, link)
		err = errors.Join(err, e)
		for _, route := range list {
			out = append(out, fmt.Sprintf("route %s via %s dev %s", route.Dst, route.Gw, name))
		}
		for _, family := range []int{netlink.FAMILY_ALL, unix.AF_BRIDGE} {
			list, e := neighbours(node, link, family)
			err = errors.Join(err, e)
			for _, n := range list {
				out = append(out, fmt.Sprintf("neighbour %s dev %s", words(n), name))
			}
		}
	}
	slices.Sort(out)
	return out, err
}

// The names of chains that pick an endpoint end in how many they pick from, and the key of
// an endpoint in its place among them. Both depend on what was there before; fairlead
// diff checks them.
var (
	picking = regexp.MustCompile(`-[0-9]+$`)
	place   = regexp.MustCompile(`( comment .*)? : `)
)

// canonical returns the lines of a listing, each with the object that it is in, without
// what depends on how the table came about, and without what the kernel remembers of
// clients.
func canonical(text string) []string {
	var out []string
	object := ""
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 3 && words[2] == "{" {
			object = words[1]
		}
		line = strings.Join(words, " ")
		line = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(line, "elements = { "), " }"), ",")
		if line == "" || line == "}" || picking.MatchString(object) || strings.HasPrefix(object, "affinity") {
			continue
		}
		line, _, _ = strings.Cut(line, " : goto ")
		if strings.Contains(object, "backends") {
			line = withoutPlace(line)
		}
		out = append(out, object+": "+line)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// withoutPlace turns "10.96.0.10 . tcp . 80 . 3 comment "a" : 10.244.1.2 . 8080" into the
// same without the 3.
func withoutPlace(line string) string {
	at := place.FindStringIndex(line)
	if at == nil {
		return line
	}
	key := line[:at[0]]
	return key[:max(0, strings.LastIndex(key, " . "))] + line[at[0]:]
}

// differences returns the lines that only one of two sorted lists has.
func differences(before, after []string) string {
	var out strings.Builder
	for _, line := range before {
		if _, found := slices.BinarySearch(after, line); !found {
			fmt.Fprintln(&out, "after the events:", line)
		}
	}
	for _, line := range after {
		if _, found := slices.BinarySearch(before, line); !found {
			fmt.Fprintln(&out, "from nothing:    ", line)
		}
	}
	return out.String()
}
