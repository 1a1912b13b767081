// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"fairlead/cmd/fairlead-lab/world"
)

// shown are the beginnings of the names of what a connection to an IPv4
// ClusterIP meets, in the order in which it does.
func shown() []string {
	return []string{"prerouting", "services", "vips4", "cluster4-", "pick4-", "backends4", "postrouting", "refuse"}
}

// stepTable prints what a person who looks for a fault would see.
func stepTable(ctx context.Context, d *demo) error {
	node := d.Cluster.Nodes[0]
	out, err := world.RunIn(ctx, node.Host, "nft", "list", "table", "inet", "fairlead")
	if errors.Is(err, exec.ErrNotFound) {
		d.say("nft is not installed here (Debian: apt-get install nftables), so this is left out")
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	d.say("%s: nft list table inet fairlead; of its %d lines those that a connection to %s meets:", node.Name, len(lines), d.Web.ClusterIPs[0])
	for _, name := range shown() {
		for _, line := range shorten(blocks(lines, name)) {
			d.say("  %s", strings.ReplaceAll(line, "\t", "    "))
		}
	}
	d.check(strings.Contains(out, "default/"+d.Web.Name+":"), "nft lists it without complaint, and elements say which Service they belong to")
	return nil
}

// blocks returns the chains and maps of a listing whose names begin with prefix.
func blocks(lines []string, prefix string) (out []string) {
	inside := false
	for _, line := range lines {
		words := strings.Fields(line)
		if strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "\t\t") && len(words) == 3 {
			inside = strings.HasPrefix(words[1], prefix)
		}
		if inside && strings.HasPrefix(line, "\t") {
			out = append(out, line)
		}
	}
	return out
}

// shorten leaves out what repeats itself: all but the first elements of a map,
// and all but the first of equal rules.
func shorten(lines []string) []string {
	const elements = 3
	var out []string
	inElements, skipped := 0, 0
	for i, line := range lines {
		switch {
		case strings.Contains(line, "elements = {"):
			inElements = 1
		case inElements > 0:
			inElements++
		}
		repeats := i > 0 && line == lines[i-1] && strings.TrimSpace(line) != "}"
		ends := inElements > 0 && strings.HasSuffix(line, "}")
		if repeats || inElements > elements && !ends {
			skipped++
			continue
		}
		if skipped > 0 {
			out = append(out, fmt.Sprintf("\t\t... %d more", skipped))
			skipped = 0
		}
		out = append(out, line)
		if ends {
			inElements = 0
		}
	}
	return out
}
