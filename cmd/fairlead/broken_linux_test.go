// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// situation is something that is broken, and the one command that names the cause. The
// page docs/troubleshooting.md has the symptom, the command and what it prints.
type situation struct {
	symptom string
	objects string // added to the manifests
	// dead is set for a situation that the agent would repair: it does not run then.
	dead bool
	// breakIt changes the first node; nil changes nothing.
	breakIt func(t *testing.T, w *world.World)
	// mend takes it back; nil leaves it for the next one.
	mend func(t *testing.T, w *world.World)
	args string
	want string // in the output
	// dial is an address that a client of that kind connects to, and outcome what it
	// meets: the symptom.
	client, dial, outcome string
}

// TestBroken breaks the cluster in each way, with agents that run, and checks that
// connections fail and that one command names the cause. With -update it writes the
// commands and their output into docs/troubleshooting.md.
func TestBroken(t *testing.T) {
	nstest.Long(t, "TestExplain, TestDiff and TestCheck run the same agents and commands")
	t.Parallel() // it waits for answers that do not come
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, NoPodRoutes: true}, "--nodeport-addresses", "all"), 2)
	testWorld(t, w, err)
	var page strings.Builder
	b := &brokenBed{t, w, &page}
	list := situations()
	b.check(&list[0]) // before there is an agent
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	for i := range list[1:] {
		if s := &list[1+i]; !s.dead {
			b.check(s)
		}
	}
	for _, a := range w.Agents {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range list {
		if s := &list[i]; s.dead && i > 0 {
			b.check(s)
		}
	}
	if t.Failed() {
		return
	}
	updatePage(t, "situations", page.String())
}

// brokenBed is a cluster and the page that is written about it.
type brokenBed struct {
	*testing.T
	w    *world.World
	page *strings.Builder
}

func (b *brokenBed) check(s *situation) {
	b.Helper()
	node := b.w.Cluster.Nodes[0]
	if s.objects != "" {
		if err := world.WriteManifest(b.w.Manifests, "broken.yaml", s.objects); err != nil {
			b.Fatal(err)
		}
	}
	if s.breakIt != nil {
		s.breakIt(b.T, b.w)
	}
	if s.mend != nil {
		defer s.mend(b.T, b.w)
	}
	args := strings.Fields(s.args)
	var out string
	deadline := time.Now().Add(30 * time.Second)
	for { // the agent and the page of routes need a moment
		out, _ = onNode(b.T, node, b.flags(s, args)...)
		// An agent that runs may not have carried out yet what the objects ask for.
		settled := s.dead || !strings.Contains(out, "[differs]")
		if strings.Contains(out, s.want) && settled || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(out, s.want) {
		b.Errorf("%s: fairlead %s does not print %q:\n%s", s.symptom, s.args, s.want, out)
		return
	}
	b.dial(s)
	fmt.Fprintf(b.page, "### %s\n\n```\n$ fairlead %s\n%s```\n\n", s.symptom, s.args, abridged(out))
}

// findings returns the lines of fairlead check that are neither fine nor unknown.
func findings(out string) string {
	var b strings.Builder
	keep := false
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, " ") {
			if was := keep; was != strings.HasPrefix(line, "error") && !was {
				b.WriteString("...\n")
			}
			keep = strings.HasPrefix(line, "error")
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String() + "...\n"
}

// flags returns the arguments with the flags that a running agent would give.
func (b *brokenBed) flags(s *situation, args []string) []string {
	if !s.dead {
		return args
	}
	return append(args, "--manifests", b.w.Manifests, "--node-name", "node-1", "--cluster-cidr", world.JoinPrefixes(b.w.Cluster.Config.ClusterCIDRs()),
		"--overlay", "vxlan", "--ip-masq", "--nodeport-addresses", "all")
}

// dial makes the connection that fails. Each endpoint is tried.
func (b *brokenBed) dial(s *situation) {
	b.Helper()
	if s.dial == "" {
		return
	}
	node := b.w.Cluster.Nodes[0]
	host := map[string]*lab.Host{"pod": b.w.Client.Host, "outside": b.w.Cluster.Outside, "node": node.Host}[s.client]
	at := netip.MustParseAddrPort(s.dial)
	var got []string
	for range 20 {
		ctx, cancel := context.WithTimeout(b.Context(), 300*time.Millisecond)
		got = append(got, host.Try(ctx, inet.Addr{IP: at.Addr(), Port: at.Port(), Proto: inet.TCP}))
		cancel()
		if strings.Contains(got[len(got)-1], s.outcome) {
			return
		}
	}
	b.Errorf("%s: connections to %s meet %q, want %q", s.symptom, s.dial, got, s.outcome)
}

// abridged returns the output up to the ways of packets, which follow what is wrong.
func abridged(out string) string {
	if strings.Contains(out, "\nok ") || strings.HasPrefix(out, "ok ") {
		return findings(out)
	}
	const most = 12
	lines := strings.SplitAfter(out, "\n")
	for i, l := range lines {
		if i > 0 && strings.Contains(l, ", from ") && !strings.HasPrefix(l, " ") || i == most {
			return strings.TrimRight(strings.Join(lines[:i], ""), "\n") + "\n...\n"
		}
	}
	return strings.TrimRight(out, "\n") + "\n"
}

// updatePage compares a generated part of docs/troubleshooting.md, or writes it with -update.
func updatePage(t *testing.T, part, want string) {
	t.Helper()
	const path = "../../docs/troubleshooting.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin "+part+" -->\n", "<!-- end "+part+" -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	have, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no lines %q and %q", path, begin, end)
	}
	want = "\n" + ownOutput(want)
	switch {
	case have == want:
	case !*update:
		t.Errorf("%s is not what the commands print; run make golden. Want:\n%s", path, want)
	default:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
