// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestTrace follows a connection to a Service from a pod to its endpoint. The command
// leaves nothing, also when it is killed, and the agent has nothing to repair.
func TestTrace(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 1}), 1)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	out := traceOne(t, w, "--from", w.Client.Addrs()[0].String())
	for _, want := range []string{
		"packet 1\n  tcp ", " -> 10.96.0.10:80 (Service default/web", "inet fairlead  services", "goto cluster4-",
		"vmap @vips4", "accept  # dnat ip to", ":8080 (endpoint of default/web",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "rule with handle") || strings.Contains(out, "packet 2") {
		t.Errorf("a rule is not known, or another packet is followed:\n%s", out)
	}
	checkTraceKilled(t, node)
	if log := w.Agents[node.Name].Tail(); strings.Contains(log, "epaired") {
		t.Errorf("the agent repaired something:\n%s", log)
	}
	if out, err := onNode(t, node, "trace", "--to", "10.96.0.99", "--timeout", "300ms"); err == nil || !strings.Contains(out, "no such packet came") {
		t.Errorf("without packets: %v, %s", err, out)
	}
}

// traceOne follows one connection of the client to the Service web on the first node, and
// returns what the command prints.
func traceOne(t *testing.T, w *world.World, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"trace", "default/web", "--count", "1"}, args...)...)
	cmd.Env = append(cmd.Environ(), "FAIRLEAD_COMMAND=1")
	var out nstest.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := w.Cluster.Nodes[0].Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the packet was followed", func() error {
		w.Client.Try(t.Context(), w.Web.At(w.Web.ClusterIPs[0]))
		select {
		case <-p.Done():
			return nil
		default:
			return errors.New("it still runs")
		}
	})
	return out.String()
}

// checkTraceKilled kills the command: the kernel removes its table.
func checkTraceKilled(t *testing.T, node *lab.Node) {
	t.Helper()
	tables := func() string {
		out, err := nstest.Command(t, node.NS, "nft", "list", "tables").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := tables(); strings.Contains(got, "trace") {
		t.Errorf("the command left %s", got)
	}
	cmd := exec.Command("/proc/self/exe", "trace", "default/web", "--timeout", time.Minute.String())
	cmd.Env = append(cmd.Environ(), "FAIRLEAD_COMMAND=1")
	p, err := node.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table is there", func() error {
		if !strings.Contains(tables(), "fairlead-trace-") {
			return errors.New("it is not")
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	eventually(t, "the kernel removes the table", func() error {
		if got := tables(); strings.Contains(got, "trace") {
			return errors.New(got)
		}
		return nil
	})
}

// TestTraceNames follows a connection of a Pod that is named, in both directions, and
// refuses what names no one.
func TestTraceNames(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true}), 2)
	testWorld(t, w, err)
	pod := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: default}\nspec: {nodeName: node-1}\nstatus: {podIP: %[1]s, podIPs: [{ip: %[1]s}, {ip: \"%[2]s\"}]}\n", w.Client.Addr4, w.Client.Addr6)
	if err := world.WriteManifest(w.Manifests, "client.yaml", pod); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	for i, vip := range w.Web.ClusterIPs {
		out := whileTrying(t, node, w.Client.Host, w.Web.At(vip), "trace", "web:80", "--from", "client", "--replies", "--count", "2")
		client := w.Client.Addrs()[i].String()
		for _, want := range []string{"packet 2\n", client, vip.String()} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		reply := regexp.MustCompile(`(?m)^  tcp \S+:8080 \(endpoint of default/web\S*\) -> \S*` + regexp.QuoteMeta(client))
		if v6 := regexp.MustCompile(`(?m)^  tcp \S+:8080 \(endpoint of default/web\S*\) -> \[` + regexp.QuoteMeta(client)); !reply.MatchString(out) && !v6.MatchString(out) {
			t.Errorf("no reply is followed:\n%s", out)
		}
	}
	for args, want := range map[string]string{
		"trace web --from nobody":         "there is no Pod default/nobody",
		"trace web --from outside":        "no one whose packets can be told",
		"trace web:81":                    "no frontend of Service default/web",
		"trace":                           "give what is dialled",
		"trace web --to 10.96.0.10":       "and not both",
		"trace 10.96.0.10 --from fd00::1": "have no IP version in common",
		"trace 10.96.0.10:0":              "port 0 is none",
		"trace default/web/x":             "the name is incomplete",
	} {
		if out, err := onNode(t, node, strings.Fields(args)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s", args, err, out)
		}
	}
}

// whileTrying runs a command on a node while a host connects, and returns its output.
func whileTrying(t *testing.T, node *lab.Node, from *lab.Host, to inet.Addr, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(cmd.Environ(), "FAIRLEAD_COMMAND=1")
	var out nstest.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := node.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "packets were followed", func() error {
		from.Try(t.Context(), to)
		select {
		case <-p.Done():
			return nil
		default:
			return errors.New("it still runs")
		}
	})
	return out.String()
}

// TestTraceStorm: a flood of packets ends the command after the packets that it asks for,
// and within its time.
func TestTraceStorm(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 1}), 1)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		_ = w.Client.NS.Do(func() error {
			conn, err := net.Dial("udp", "10.96.0.99:53")
			if err != nil {
				return err
			}
			for ctx.Err() == nil {
				_, _ = conn.Write([]byte{0}) // a refusal is an error of the next write
			}
			return conn.Close()
		})
	}()
	out, err := onNode(t, w.Cluster.Nodes[0], "trace", "--to", "10.96.0.99:53/udp", "--count", "20", "--timeout", "20s")
	cancel()
	<-flood
	if n := strings.Count(out, "packet "); err != nil || n != 20 {
		t.Errorf("%d packets, want 20: %v", n, err)
	}
}

// TestTraceSources reads --from as explain does: an address in IPv6's form is that of IPv4.
func TestTraceSources(t *testing.T) {
	for from, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.1": "10.0.0.1/32", "10.0.0.1/8": "10.0.0.0/8", "::ffff:10.0.0.1/104": "10.0.0.0/8", "fd00::1": "fd00::1/128", "": "invalid Prefix",
	} {
		f := &traceFlags{from: from}
		got, err := f.sources(nil, "")
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("--from %q is %v, %v; want %s", from, got, err, want)
		}
	}
}
