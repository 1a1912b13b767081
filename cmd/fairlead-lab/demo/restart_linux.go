// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
)

// stepRestart kills the agent of the client's node. The kernel does the work, so
// nobody notices; the next agent finds everything in place.
func stepRestart(ctx context.Context, d *demo) error {
	const absence = 1500 // connections made without an agent
	node := d.Cluster.Nodes[0]
	agent := d.Agents[node.Name]
	before, nftErr := d.programmed(ctx, node)

	l := d.startLoad(ctx)
	defer l.stop()
	if err := agent.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-agent.Done()
	d.say("%s: agent %d is killed with SIGKILL", node.Name, agent.Pid())
	seen := l.so().total
	if err := world.Poll(ctx, 10*time.Second, func() bool { return l.so().total >= seen+absence }, "the load stands still"); err != nil {
		return err
	}
	d.say("%s: %d connections later there is still no agent", node.Name, l.so().total-seen)
	if err := d.StartAgent(node); err != nil {
		return err
	}
	d.say("%s: agent %d is started", node.Name, d.Agents[node.Name].Pid())
	if err := d.join(ctx); err != nil {
		return err
	}
	d.judge(l.stop(), "without an agent and while one started")
	if nftErr != nil {
		d.say("nft is not installed, so the rules are not compared")
		return nil
	}
	after, err := d.programmed(ctx, node)
	if err != nil {
		return err
	}
	d.check(slices.Equal(before, after), "the new agent kept all %d chains and rules: their handles are the same", len(before))
	return nil
}

// programmed returns the chains and rules of a node's table, with the handles
// that the kernel gave them when they were written.
func (d *demo) programmed(ctx context.Context, node *lab.Node) ([]string, error) {
	out, err := world.RunIn(ctx, node.Host, "nft", "--handle", "list", "table", "inet", "fairlead")
	if err != nil {
		return nil, fmt.Errorf("list table: %w", err)
	}
	lines := strings.Split(out, "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, "# handle ") }), nil
}
