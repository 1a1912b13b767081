// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// tampering is what another program does to the table, by hand.
const tampering = `insert rule inet fairlead services ip saddr 10.9.9.9 drop
add rule inet fairlead services limit rate 5/second accept
chain inet fairlead postrouting { policy drop; }
delete element inet fairlead hairpin4 { 10.244.1.3 . 10.244.1.3 }`

// TestPageOutputs runs the commands of docs/troubleshooting.md whose output is the same each
// time. With -update it writes what they print into the page.
func TestPageOutputs(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, NoPodRoutes: true}, "--nodeport-addresses", "all"), 2)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	record := func(part, shown string, args ...string) {
		t.Helper()
		out, err := onNode(t, node, args...)
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			t.Fatalf("fairlead %v: %v\n%s", args, err, out)
		}
		if part == "table" {
			out = "...\n" + chainOf(out, "services") + "...\n"
		}
		updatePage(t, part, fmt.Sprintf("```\n$ fairlead %s\n%s```\n\n", shown, out))
	}
	eventually(t, "in sync", func() error {
		out, err := onNode(t, node, append([]string{"diff"}, w.AgentFlags(node)...)...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	recordCheck(t, node)
	recordTrace(t, w, node)
	recordBundle(t, node)
	record("services", "get services default/web", "get", "services", "default/web")
	record("endpoints", "get endpoints default/web", "get", "endpoints", "default/web")
	if err := w.Agents[node.Name].Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(tampering, "\n") {
		if out, err := world.RunIn(t.Context(), node.Host, "nft", line); err != nil {
			t.Fatalf("nft %s: %v: %s", line, err, out)
		}
	}
	flags := strings.Split("--node-name node-1 --cluster-cidr 10.244.0.0/16 --overlay vxlan --ip-masq --nodeport-addresses all", " ")
	record("diff", "diff --manifests /etc/fairlead/manifests "+strings.Join(flags, " "), append([]string{"diff", "--manifests", w.Manifests}, flags...)...)
	record("table", "table --service default/web --family 4", "table", "--service", "default/web", "--family", "4")
}

// recordCheck writes what check prints of a node on which another program drops what leaves by
// the tunnel: the lines that are the same on all machines.
func recordCheck(t *testing.T, node *lab.Node) {
	t.Helper()
	inNFT(t, node.Host, "add table inet acme; add chain inet acme guard { type filter hook postrouting priority 300; }; add rule inet acme guard oifname fairlead.1 drop")
	defer inNFT(t, node.Host, "delete table inet acme")
	var out string
	eventually(t, "check finds the rule", func() error {
		out, _ = onNode(t, node, "check", "--peer-timeout", "300ms")
		if !strings.Contains(out, "in table inet acme drops pod traffic") {
			return errors.New(out)
		}
		return nil
	})
	same := regexp.MustCompile(`^(?:\w+ +(?:flags|kernel|agent|overlay|routes|firewall) )`)
	var b strings.Builder
	keep, cut := false, false
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, " ") {
			keep = same.MatchString(line)
		}
		if keep {
			b.WriteString(line)
		} else if !cut {
			b.WriteString("...\n")
		}
		cut = !keep
	}
	text := regexp.MustCompile(`\(process [^)]*\)`).ReplaceAllString(b.String(), "(process 17980)")
	text = regexp.MustCompile(`Linux \S+`).ReplaceAllString(text, "Linux 6.18.44")
	updatePage(t, "check", "```\n$ fairlead check\n"+text+"```\n\n")
}

// recordTrace writes what trace prints of a connection to the endpoint on the node itself.
func recordTrace(t *testing.T, w *world.World, node *lab.Node) {
	t.Helper()
	var out string
	eventually(t, "a connection to the endpoint of this node is followed", func() error {
		out = whileTrying(t, node, w.Client.Host, w.Web.At(w.Web.ClusterIPs[0]), "trace", "default/web", "--count", "1")
		if !strings.Contains(out, "-> 10.244.1.3:8080") {
			return errors.New(out)
		}
		return nil
	})
	text := regexp.MustCompile(`10\.244\.1\.2:\d+`).ReplaceAllString(out, "10.244.1.2:33782")
	updatePage(t, "trace", "```\n$ fairlead trace default/web --count 1\n"+text+"```\n\n")
}

// recordBundle writes what bundle prints, and that a command says of it what it says of the
// node.
func recordBundle(t *testing.T, node *lab.Node) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.tar.gz")
	out, err := onNode(t, node, "bundle", "-o", file)
	if err != nil {
		t.Fatalf("fairlead bundle: %v\n%s", err, out)
	}
	text := regexp.MustCompile(`\d+ bytes`).ReplaceAllString(strings.ReplaceAll(out, file, "node.tar.gz"), "41873 bytes")
	saved, err := onNode(t, node, "get", "endpoints", "default/web", "--bundle", file)
	if err != nil {
		t.Fatalf("fairlead get: %v\n%s", err, saved)
	}
	updatePage(t, "bundle", "```\n$ fairlead bundle -o node.tar.gz\n"+text+"$ fairlead get endpoints default/web --bundle node.tar.gz\n"+saved+"```\n\n")
}

// chainOf returns one chain of a listing.
func chainOf(table, name string) string {
	_, rest, _ := strings.Cut(table, "\tchain "+name+" {\n")
	body, _, _ := strings.Cut(rest, "\t}\n")
	return "\tchain " + name + " {\n" + body + "\t}\n"
}
