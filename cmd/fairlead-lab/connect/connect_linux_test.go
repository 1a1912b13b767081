// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bytes"
	"context"

	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/reach/report"
	"fairlead/cmd/fairlead/reach/talk"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// newBed builds a cluster with the real agent, whose program it builds.
func newBed(t *testing.T) *Bed {
	t.Helper()
	nstest.Need(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "fairlead")
	if out, err := exec.Command("go", "build", "-o", program, "fairlead/cmd/fairlead").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	w, err := world.NewEmpty(t.Context(), world.Options{Dir: dir, Lab: lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true}, Agent: program, Overlay: "vxlan"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	b, err := New(w)
	if err == nil {
		err = w.StartAgents()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b
}

func printed(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestConnect: everything passes in a cluster that works. Then the agent of a node stands
// still, and an element of its table is deleted, and a route: each time those checks fail
// that need it, and no other.
func TestConnect(t *testing.T) {
	b := newBed(t)
	r, err := b.Try(t.Context(), 2*talk.Settle)
	if text := printed(t, r); err != nil || r.Failed > 0 || r.Passed < 100 {
		t.Fatalf("%v\n%s", err, text)
	}
	node := b.Cluster.Nodes[0]
	agent := b.Agents[node.Name]
	if err := agent.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Signal(syscall.SIGCONT) })
	vip := b.plan.Services[0].ClusterIPs[0]
	element := vip.String() + " . tcp . 80"
	if out, err := nstest.Command(t, node.NS, "nft", "delete element inet fairlead vips4 { "+element+" }").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r = b.broken(t, "an element is deleted",
		"FAILED  ClusterIP: from pod on node-1 to Service default/fairlead-test-cluster ("+inet.Addr{IP: vip, Port: 80, Proto: inet.TCP}.String()+")",
		"next    on node-1: fairlead explain --from pod "+vip.String()+":80/tcp", "Node node-1 takes part in all failures: begin there.")
	if r.Failed != 2 {
		t.Errorf("%d checks fail because of one element, which a pod and the node need", r.Failed)
	}
	if out, err := nstest.Command(t, node.NS, "nft", "delete element inet fairlead hostports4 { udp . 18472 }").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r = b.broken(t, "a host port is deleted",
		"FAILED  hostPort: from outside to hostPort of pod on node-1 (192.168.1.10:18472/udp)", "FAILED  hostPort: from node-1 to hostPort of pod on node-1 (192.168.1.10:18472/udp)",
		"next    on node-1: fairlead explain --from outside 192.168.1.10:18472/udp")
	if r.Failed != 2+5 {
		t.Errorf("%d checks fail, want the two before and those of four clients on nodes and one outside", r.Failed)
	}
	other := b.Cluster.Nodes[1].PodCIDRs[0]
	if out, err := nstest.Command(t, node.NS, "ip", "route", "delete", other.String()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.broken(t, "a route is deleted",
		"FAILED  pod: from pod on node-1 to pod on node-2 (10.244.2.", "next    on node-1: fairlead check")
}

// broken tries again without time to settle.
func (b *Bed) broken(t *testing.T, what string, want ...string) *report.Report {
	t.Helper()
	r, err := b.Try(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	text := printed(t, r)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q is missing in\n%s", what, w, text)
		}
	}
	return r
}
