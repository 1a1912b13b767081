// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// report is what the tests read of fairlead explain -o json.
type report struct {
	Findings []struct{ Code, Text, Remedy string }
	Unused   []struct{ Address string }
	Paths    []struct {
		To, Result, Source string
		Backends           []struct {
			Pod, Address, Masquerade string
			Share                    float64
			Hop                      struct{ Device, Tunnel, Broken string }
		}
	}
}

func explained(t *testing.T, node *lab.Node, args ...string) *report {
	t.Helper()
	out, err := onNode(t, node, append([]string{"explain", "-o", "json"}, args...)...)
	if err != nil {
		t.Fatalf("fairlead explain %v: %v\n%s", args, err, out)
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("fairlead explain %v: %v\n%s", args, err, out)
	}
	return &r
}

// TestExplain compares what explain says with what real connections meet: which pods
// answer, and the address that they see, in a cluster with an overlay and both families.
func TestExplain(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	nstest.Need(t)
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) { testExplain(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, PodLink: link}) })
	}
}

func testExplain(t *testing.T, cfg lab.Config) {
	t.Helper()
	w, err := world.New(t.Context(), worldOf(t, cfg), 3)
	testWorld(t, w, err)
	local := w.Web
	local.Name, local.ClusterIPs, local.NodePort, local.Local = "local", world.VIPs(cfg, 11), 30081, true
	local.Endpoints = w.Web.Endpoints[1:2] // on the other node
	none := w.Web
	none.Name, none.ClusterIPs, none.NodePort, none.Endpoints = "none", world.VIPs(cfg, 12), 30082, nil
	for _, s := range []world.Service{local, none} {
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []world.Service{w.Web, local} {
		if err := w.WaitAgents(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	node := w.Cluster.Nodes[0]
	gone := none
	gone.Name, gone.ClusterIPs, gone.NodePort = "gone", world.VIPs(cfg, 13), 30083
	loseEndpoint(t, w, node, none, gone)
	for from, host := range map[string]*lab.Host{
		"default/web-1": w.Web.Endpoints[0].Pod.Host, "node": node.Host, "outside": w.Cluster.Outside,
		fmt.Sprint(w.Client.Addr4): w.Client.Host, fmt.Sprint(w.Client.Addr6): w.Client.Host,
	} {
		for _, s := range []world.Service{w.Web, local, none, gone} {
			for i, ip := range s.ClusterIPs {
				client, err := netip.ParseAddr(from)
				if err == nil && client.Is4() != ip.Is4() {
					continue
				}
				targets := []inet.Addr{{IP: node.Addrs()[i], Port: s.NodePort, Proto: inet.TCP}}
				if host != w.Cluster.Outside {
					targets = append(targets, s.At(ip)) // the fabric has no route to ClusterIPs
				}
				for _, to := range targets {
					compare(t, node, from, host, to)
				}
			}
		}
	}
}

// compare makes connections until all that explain promises was seen.
func compare(t *testing.T, node *lab.Node, from string, host *lab.Host, to inet.Addr) {
	t.Helper()
	if from == "outside" { // the address stands for any
		from = host.Addr4.String()
		if to.IP.Is6() {
			from = host.Addr6.String()
		}
	}
	r := explained(t, node, to.String(), "--from", from)
	want := map[string]bool{}
	for _, b := range r.Paths[0].Backends {
		saw := b.Masquerade
		if saw == "" {
			saw = r.Paths[0].Source
		}
		want[b.Pod+" saw "+saw] = true
	}
	switch r.Paths[0].Result {
	case "rejected":
		want = map[string]bool{lab.ErrRefused.Error(): true}
	case "dropped":
		want = map[string]bool{lab.ErrTimeout.Error(): true}
	}
	got := map[string]bool{}
	for n := 0; n < 64 && (n < 8 || len(got) < len(want)); n++ {
		wait := 20 * time.Second
		if want[lab.ErrTimeout.Error()] {
			wait, n = 300*time.Millisecond, 64
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		got[host.Try(ctx, to)] = true
		cancel()
	}
	if !maps.Equal(got, want) {
		t.Errorf("from %s to %s: explain says %v, packets meet %v", from, to, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	}
}

// TestExplainArguments: each wrong argument is an error that names it.
func TestExplainArguments(t *testing.T) {
	for args, want := range map[string]string{
		"default/web/x":    `"default/web/x" is not NAMESPACE/SERVICE or ADDRESS:PORT[/PROTOCOL]: the name is incomplete`,
		"10.96.0.10":       "the port is missing",
		"10.96.0.10:0":     "port 0 is none",
		"web:x":            `"x" is not a port`,
		"web -o xml":       `--output: "xml" is not table, wide, json, yaml`,
		"web --bundle /no": "--bundle: stat /no: no such file or directory",
	} {
		fields := append([]string{"explain"}, strings.Fields(args)...)
		if len(strings.Fields(args)) == 1 {
			fields = append(fields, "--bundle", emptyBundle(t))
		}
		if out, err := execute(t, fields...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fairlead explain %s: %v\n%s", args, err, out)
		}
	}
	if _, err := execute(t, "explain"); err == nil {
		t.Error("without an argument: no error")
	}
	// Where there is no table, the argument is what is wrong first.
	if _, err := execute(t, "explain", "default/web/x"); err == nil || !strings.Contains(err.Error(), "the name is incomplete") {
		t.Errorf("without a table: %v", err)
	}
}

// emptyBundle is a node with one Service and nothing else.
func emptyBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"node.json":    `{"version": 1, "about": {"host": "node-1"}}`,
		"config.json":  `{"table": {"NodeName": "node-1"}}`,
		"objects.json": `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
