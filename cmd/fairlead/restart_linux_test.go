// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestRestartWritesNothing kills an agent of an unchanged cluster, with an overlay and
// sticky clients. A listener to the kernel's notifications sees that the next agent
// changes neither the table nor a device, route, forwarding or neighbour entry of the
// overlay. Afterwards it sees a change that the test makes.
func TestRestartWritesNothing(t *testing.T) {
	nstest.Need(t)
	made, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true}), 4)
	w := testWorld(t, made, err)
	cart := world.Service{Name: "cart", Port: 80, TargetPort: world.WebPort, ClusterIPs: world.VIPs(w.Cluster.Config, 30), Sticky: true, Endpoints: w.Web.Endpoints}
	if err := errors.Join(w.Write(cart), w.StartAgents(), w.WaitAgents(t.Context(), w.Web), w.WaitAgents(t.Context(), cart)); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	starts := 1
	settled := func() error {
		text, err := os.ReadFile(filepath.Join(w.Logs, node.Name+".log"))
		if err != nil {
			return err
		}
		for _, want := range []string{`"Programmed the table"`, `"Made the overlay ready"`} {
			if n := strings.Count(string(text), want); n != starts {
				return fmt.Errorf("the log has %s %d times, want %d", want, n, starts)
			}
		}
		args := append([]string{"diff"}, w.AgentFlags(node)...)
		if out, err := onNode(t, node, append(args, "-v", "0")...); err != nil {
			return fmt.Errorf("%w:\n%s", err, out)
		}
		return nil
	}
	eventually(t, "the first agent is done", settled)
	agent := w.Agents[node.Name]
	if err := agent.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-agent.Done()

	mark := func(program string, args ...string) {
		t.Helper()
		if out, err := nstest.Command(t, node.NS, program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	table := listen(t, node, "nft", "monitor")
	table.hears(t, "first", func() { mark("nft", "add", "table", "inet", "first"); mark("nft", "delete", "table", "inet", "first") })
	links := listen(t, node, "ip", "monitor", "link", "route", "neigh")
	links.hears(t, "10.244.98.1", func() {
		mark("ip", "neigh", "replace", "10.244.98.1", "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent")
		mark("ip", "neigh", "del", "10.244.98.1", "dev", "eth0")
	})
	starts++
	if err := w.StartAgent(node); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second agent is done", settled)
	mark("nft", "add", "table", "inet", "marker")
	mark("ip", "neigh", "add", "10.244.99.1", "lladdr", "02:00:00:00:00:01", "dev", "fairlead.1", "nud", "permanent")
	table.sees(t, "marker", "fairlead")
	links.sees(t, "10.244.99.1", "fairlead")
}

// listener is a program that prints what the kernel notifies.
type listener struct{ log *nstest.Log }

func listen(t *testing.T, node *lab.Node, program string, args ...string) listener {
	t.Helper()
	l := listener{&nstest.Log{}}
	cmd := nstest.Command(t, node.NS, program, args...)
	cmd.Stdout, cmd.Stderr = l.log, l.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return l
}

// hears makes changes until the program prints them.
func (l listener) hears(t *testing.T, marker string, change func()) {
	t.Helper()
	eventually(t, "the listener listens", func() error {
		change()
		if !strings.Contains(l.log.String(), marker) {
			return fmt.Errorf("it saw %q", l.log)
		}
		return nil
	})
}

// sees waits for a line that names the marker, and fails if an earlier one names what is
// ours.
func (l listener) sees(t *testing.T, marker, ours string) {
	t.Helper()
	eventually(t, "the listener sees "+marker, func() error {
		if !strings.Contains(l.log.String(), marker) {
			return fmt.Errorf("it saw:\n%s", l.log)
		}
		return nil
	})
	for line := range strings.Lines(l.log.String()) {
		switch {
		case strings.Contains(line, marker):
			return
		case strings.Contains(line, ours):
			t.Errorf("the agent wrote: %s", line)
		}
	}
}
