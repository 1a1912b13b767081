// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

// limit is for any one thing; kube-proxy needs half a minute for some.
const limit = 10 * time.Minute

// pause between updates, longer than kube-proxy's minSyncPeriod of 1 s, which
// would otherwise be part of what is measured.
const pause = 1500 * time.Millisecond

// result is what was measured of one subject.
type result struct {
	firstSync time.Duration   // from the start of the process until all VIPs answer
	latency   []time.Duration // from an update to the first connection, sorted
	resident  int64           // bytes, after the updates
	peak      int64           // bytes
	cpuUpdate time.Duration   // of one update, child processes included
}

// measure runs a subject on a node, alone.
func (b *bench) measure(t *testing.T, s subject, node *lab.Node) (r result) {
	t.Helper()
	site := b.world.sites[slices.Index(b.Nodes, node)]
	check(t, b.world.point(t.Context(), site.left))
	kubeconfig, err := b.plane.Kubeconfig(node.Name+".kubeconfig", "https://"+b.Outside.Addr4.String()+":6443", b.plane.AdminAuth())
	check(t, err)
	cmd, err := s.command(b, node, kubeconfig)
	check(t, err)
	log := filepath.Join(b.dir, node.Name+".log")
	out, err := os.Create(log)
	check(t, err)
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	p, err := node.Start(cmd)
	check(t, err)
	defer func() {
		if t.Failed() {
			t.Logf("%s:\n%s", log, controlplane.Tail(log))
		}
	}()
	check(t, b.allAnswer(t.Context(), site))
	r.firstSync = time.Since(start)
	for i := range *updates + 1 {
		time.Sleep(pause)
		if i == 1 { // the first shows what the first sync has left to do
			r.cpuUpdate = processor(t, p.Pid())
			r.latency = nil
		}
		r.latency = append(r.latency, b.update(t, site, i))
	}
	time.Sleep(pause) // what follows an update counts, too
	r.cpuUpdate = (processor(t, p.Pid()) - r.cpuUpdate) / time.Duration(*updates)
	slices.Sort(r.latency)
	r.resident, r.peak = memory(t, p.Pid())
	check(t, p.Close())
	return r
}

// update gives probe to the other server and waits until it answers.
func (b *bench) update(t *testing.T, s site, i int) time.Duration {
	t.Helper()
	to := s.right
	if i%2 == 1 {
		to = s.left
	}
	start := time.Now()
	check(t, b.world.point(t.Context(), to))
	for time.Since(start) < limit {
		reply, err := s.client.Dial(t.Context(), b.world.probe)
		check(t, err)
		if reply.Server == to.Name {
			return time.Since(start)
		}
	}
	t.Fatalf("%s does not answer", to.Name)
	return 0
}

// allAnswer waits until every Service is reached, the newest first: both
// programs write everything before they write anything new.
func (b *bench) allAnswer(ctx context.Context, s site) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, vip := range append(sample(b.world.vips), b.world.probe) {
		for {
			once, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := s.client.Dial(once, vip)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("first sync: %w", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// sample picks some of a list from its whole length.
func sample[T any](list []T) (out []T) {
	const most = 200
	step := max(1, len(list)/most)
	for i := len(list) - 1; i >= 0; i -= step {
		out = append(out, list[i])
	}
	return out
}

// measureWatch is what nobody can be faster than: the time until a client with
// nothing else to do sees an update.
func (b *bench) measureWatch(t *testing.T) (latency []time.Duration) {
	t.Helper()
	only := metav1.ListOptions{FieldSelector: "metadata.name=probe"}
	w, err := b.world.api.DiscoveryV1().EndpointSlices(namespace).Watch(t.Context(), only)
	check(t, err)
	defer w.Stop()
	<-w.ResultChan() // as it is
	for i := range max(*updates, 5) {
		to := b.world.sites[0].right
		if i%2 == 1 {
			to = b.world.sites[0].left
		}
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		check(t, b.world.point(t.Context(), to))
		<-w.ResultChan()
		latency = append(latency, time.Since(start))
	}
	slices.Sort(latency)
	return latency
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
