// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"time"

	"fairlead/cmd/fairlead-lab/world"
)

// stepRepair does what a firewall's restart does: it removes every table.
func stepRepair(ctx context.Context, d *demo) error {
	node := d.Cluster.Nodes[0]
	before, err := d.programmed(ctx, node)
	if errors.Is(err, exec.ErrNotFound) {
		d.say("nft is not installed here, so nobody can flush anything")
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := world.RunIn(ctx, node.Host, "nft", "flush", "ruleset"); err != nil {
		return err
	}
	start := time.Now()
	d.say("%s: nft flush ruleset", node.Name)
	err = world.Poll(ctx, soon, func() bool {
		try, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := d.Client.Dial(try, d.Web.At(d.Web.ClusterIPs[0]))
		return err == nil
	}, "web stays away")
	d.check(err == nil, "client connects again %s later", since(start))
	after, err := d.programmed(ctx, node)
	if err != nil {
		return err
	}
	d.check(slices.Equal(withoutHandles(before), withoutHandles(after)), "all %d chains and rules are back", len(after))
	return nil
}

// withoutHandles returns lines of a listing in an order and a form that do not
// depend on when they were written.
func withoutHandles(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i], _, _ = strings.Cut(line, "# handle ")
	}
	slices.Sort(out)
	return out
}
