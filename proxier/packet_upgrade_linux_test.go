// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/proxier/objects"
)

// oldAgent is an older fairlead. Its table becomes testdata/tables/NAME.gz, and
// TestPacketDowngrade starts it on the table of this version.
var oldAgent = flag.String("old-agent", "", "run tests of upgrades with this older `program`, named VERSION.bin")

// fillers are Services beside those that the tests dial, so that a change of all of them
// exceeds a batch. The saved tables have the default.
var fillers = flag.Int("fillers", savedFillers, "`number` of further Services in tests of upgrades, with -old-agent")

const savedFillers = 250

// upgradeObjects returns Services of every kind that layouts differ in.
func (b *bed) upgradeObjects(here2 *lab.Pod) []any {
	everyone := []string{"198.51.100.0/24", "2001:db8:100::/64", "10.244.0.0/16", "fd00:10:244::/48"}
	out := []any{
		nodeObject(b.node, "zone-a"), cidrObject("kubernetes", "10.96.0.0/16", "fd00:10:96::/112"),
		serviceObject(1), serviceObject(2, externalLocal), serviceObject(3, sourceRanges(everyone...)),
		serviceObject(4, sticky(0)), serviceObject(5, sticky(0), externalLocal),
		serviceObject(6, sticky(600), sourceRanges(everyone...)),
	}
	for n := 1; n <= 6; n++ {
		out = append(out, sliceObjects(n, ready(b.here), ready(here2), ready(b.there))...)
	}
	for n := range *fillers {
		svc := serviceObject(0)
		svc.Name = fmt.Sprintf("svc%d", 1000+n)
		svc.Spec = corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}}
		svc.Spec.ClusterIPs = []string{fmt.Sprintf("10.96.%d.%d", 1+n/250, n%250), fmt.Sprintf("fd00:10:96::%x", 0x1000+n)}
		svc.Status = corev1.ServiceStatus{}
		out = append(out, svc)
		out = append(out, sliceObjects(1000+n, ready(b.here), ready(here2), ready(b.there))...)
	}
	return out
}

// upgradeTargets returns the frontends to dial, and those that keep clients.
func (b *bed) upgradeTargets() (all, keeps []inet.Addr) {
	for family := range ipFamilies {
		for n := 1; n <= 6; n++ {
			for _, kind := range []string{"NodePort", "LB VIP"} {
				to := b.frontend(kind, n, family)
				all = append(all, to)
				if n >= 4 {
					keeps = append(keeps, to)
				}
			}
		}
	}
	return all, keeps
}

// served reports who must not fail to answer: a pod.
func served(got string) bool {
	name, _, ok := strings.Cut(got, " ")
	return ok && slices.Contains([]string{"here", "here2", "there"}, name)
}

// dialOnce is dial for TCP, to which a lost packet is a failure, and an answer that a busy
// machine is late with is none.
func (b *bed) dialOnce(ctx context.Context, client origin, to inet.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, waits)
	defer cancel()
	family := 0
	if to.IP.Is6() {
		family = 1
	}
	c, err := client.host.OpenFrom(ctx, client.addr[family], to)
	if err != nil {
		return lab.Outcome(lab.Reply{}, err)
	}
	defer func() { _ = c.Close() }()
	if n, err := c.Lost(); n > 0 || err != nil {
		return fmt.Sprintf("lost %d packets %v", n, err)
	}
	return b.describe(c.Reply, client.addr[family])
}

// press dials each address again and again until stop is called, which returns how many
// connections were made and what those got that failed.
func (b *bed) press(t *testing.T, client origin, to []inet.Addr) (stop func() (made int64, failed []string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var made atomic.Int64
	var mu sync.Mutex
	var failed []string
	var all sync.WaitGroup
	for _, addr := range to {
		all.Go(func() {
			for ctx.Err() == nil {
				got := b.dialOnce(t.Context(), client, addr)
				made.Add(1)
				if !served(got) {
					mu.Lock()
					failed = append(failed, addr.String()+": "+got)
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		all.Wait()
		return made.Load(), failed
	}
}

// open makes a connection to each address, and returns a function that expects all of them
// to work still.
func (b *bed) open(t *testing.T, client origin, to []inet.Addr) func() {
	t.Helper()
	var conns []*lab.Conn
	for _, addr := range to {
		family := 0
		if addr.IP.Is6() {
			family = 1
		}
		c, err := client.host.OpenFrom(labtest.Patient(t), client.addr[family], addr)
		check(t, err)
		conns = append(conns, c)
	}
	return func() {
		t.Helper()
		for _, c := range conns {
			was := c.Reply.Server
			if got, err := c.Ask(labtest.Patient(t)); err != nil || got.Server != was {
				t.Errorf("an open connection to %s got %q, %v", was, got.Server, err)
			}
			_ = c.Close()
		}
	}
}

// takeOver checks that nobody notices when change replaces the agent: connections that
// are open stay, no new one fails, and each client of a sticky frontend keeps its
// endpoint.
func (b *bed) takeOver(t *testing.T, clients []origin, change func()) {
	t.Helper()
	all, keeps := b.upgradeTargets()
	had := map[inet.Addr][]string{}
	for _, to := range keeps {
		had[to] = b.endpointsOfClients(t, clients, to)
	}
	stay := b.open(t, clients[0], all)
	stop := b.press(t, b.external(), all)
	time.Sleep(100 * time.Millisecond) // of load before
	change()
	time.Sleep(200 * time.Millisecond) // and after
	made, failed := stop()
	t.Logf("%d connections, %d failed", made, len(failed))
	if len(failed) > 0 {
		t.Errorf("%d of %d connections failed, the first one %s", len(failed), made, failed[0])
	}
	stay()
	for _, to := range keeps {
		b.stays(t, clients, to, had[to])
	}
}

// TestPacketUpgrade starts the agent on tables that older versions made, under load.
func TestPacketUpgrade(t *testing.T) {
	files, err := filepath.Glob("testdata/tables/*.gz")
	check(t, err)
	if *oldAgent != "" {
		name := strings.TrimSuffix(filepath.Base(*oldAgent), ".bin")
		files = []string{filepath.Join("testdata", "tables", name+".gz")}
		if *fillers != savedFillers {
			files = []string{filepath.Join(t.TempDir(), name+".gz")}
		}
	}
	if len(files) < 3 && *oldAgent == "" {
		t.Fatalf("%d saved tables, want those of three versions", len(files))
	}
	for _, file := range files[:nstest.Size(len(files), 1)] {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".gz"), func(t *testing.T) {
			b, here2, _ := newPairBed(t)
			clients := b.clients(t)
			b.stop()
			deleteTable(t, b)
			if *oldAgent != "" {
				b.runOld(t, here2)
				writeSaved(t, file, saveTable(t, b.node.NS))
				deleteTable(t, b)
			}
			loadTable(t, b.node.NS, readSaved(t, file))
			b.items = map[objects.Key]objects.Object{}
			b.put(t, b.upgradeObjects(here2)...)
			b.pause = 100 * time.Millisecond
			b.takeOver(t, clients, func() { b.start(t, defaults()) })
			b.unchanged(t)
		})
	}
}

// unchanged ends the agent and expects the table to be as it believes, with nothing left
// to do.
func (b *bed) unchanged(t *testing.T) {
	t.Helper()
	b.stop()
	table, err := kernel.Open(b.node.NS)
	check(t, err)
	defer func() { _ = table.Close() }()
	found, err := table.Load(t.Context())
	check(t, err)
	state := b.agent.desired.state
	if drift := state.Adopt(found); len(drift) > 0 {
		t.Errorf("the table differs: %s", drift)
	}
	if step := state.Next(0); step != nil && len(step.Batch) > 0 {
		t.Errorf("there is something left to do:\n%s", step.Batch)
	}
}

func deleteTable(t *testing.T, b *bed) {
	t.Helper()
	table, err := kernel.Open(b.node.NS)
	check(t, err)
	check(t, table.Delete(t.Context()))
	check(t, table.Close())
}

// runOld runs the older agent until it serves everything, and ends it.
func (b *bed) runOld(t *testing.T, here2 *lab.Pod) {
	t.Helper()
	p := b.startOld(t, here2)
	check(t, p.Close())
}

// startOld starts the older agent and waits until it serves everything.
func (b *bed) startOld(t *testing.T, here2 *lab.Pod) *lab.Process {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "all.yaml"), manifest(t, b.upgradeObjects(here2)), 0o600))
	var log bytes.Buffer
	cmd := exec.Command(*oldAgent, "run", "--manifests", dir, "--node-name", "node-1", "--cluster-cidr", "10.244.0.0/16,fd00:10:244::/48", "--nodeport-addresses", "primary")
	cmd.Stdout, cmd.Stderr = &log, &log
	socket := dialTable(t, b.node.NS)
	before := generationOf(t, socket)
	p, err := b.node.Start(cmd)
	check(t, err)
	all, _ := b.upgradeTargets()
	last, since := before, time.Now()
	waitFor(t, "the older agent serves everything", func() bool {
		select {
		case <-p.Done():
			t.Fatalf("the older agent ended: %v\n%s", p.Err(), log.String())
		default:
		}
		// Older agents tell in different ways when they are done, but all write and then stop.
		if now := generationOf(t, socket); now != last {
			last, since = now, time.Now()
		}
		if last == before || time.Since(since) < 500*time.Millisecond {
			return false
		}
		for _, to := range all {
			if !served(b.dial(t.Context(), b.external(), to)) {
				return false
			}
		}
		return true
	})
	return p
}

// generationOf returns the number of the last transaction.
func generationOf(t *testing.T, s *nl.Socket) uint32 {
	t.Helper()
	var m nl.Messages
	ourTable.Begin(&m, unix.NFT_MSG_GETGEN, 0)
	var id uint32
	check(t, s.Get(&m, func(r nl.Reply) { id = nft.ReadGeneration(r) }))
	return id
}

// manifest writes objects as a file of manifests.
func manifest(t *testing.T, list []any) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, obj := range list {
		switch o := obj.(type) {
		case *corev1.Service:
			o.APIVersion, o.Kind = "v1", "Service"
		case *corev1.Node:
			o.APIVersion, o.Kind = "v1", "Node"
		case *discoveryv1.EndpointSlice:
			o.APIVersion, o.Kind = "discovery.k8s.io/v1", "EndpointSlice"
		case *networkingv1.ServiceCIDR:
			o.APIVersion, o.Kind = "networking.k8s.io/v1", "ServiceCIDR"
		}
		text, err := json.Marshal(obj)
		check(t, err)
		fmt.Fprintf(&out, "---\n%s\n", text)
	}
	return out.Bytes()
}

// TestPacketDowngrade starts an older agent on the table of this version and reports what
// connections meet meanwhile. The older one cannot be changed any more, so only what it
// serves in the end counts, and that connections stay that were open.
func TestPacketDowngrade(t *testing.T) {
	if *oldAgent == "" {
		t.Skip("needs -old-agent")
	}
	b, here2, _ := newPairBed(t)
	clients := b.clients(t)
	b.apply(t, b.upgradeObjects(here2)...)
	all, keeps := b.upgradeTargets()
	had := map[inet.Addr][]string{}
	for _, to := range keeps {
		had[to] = b.endpointsOfClients(t, clients, to)
	}
	b.stop()
	stay := b.open(t, clients[0], all)
	stop := b.press(t, b.external(), all)
	time.Sleep(100 * time.Millisecond)
	p := b.startOld(t, here2)
	made, failed := stop()
	check(t, p.Close())
	counts := map[string]int{}
	for _, f := range failed {
		counts[f]++
	}
	t.Logf("%d connections, %d failed: %v", made, len(failed), counts)
	stay()
	for _, to := range keeps {
		kept := 0
		for i, got := range b.endpointsOfClients(t, clients, to) {
			if got == had[to][i] {
				kept++
			}
		}
		t.Logf("%s: %d of %d clients kept their endpoint", to, kept, len(clients))
	}
	// Connections that failed left flows without translation, which new ones with the same
	// port would meet.
	if out, err := nstest.Command(t, b.node.NS, "conntrack", "-F").CombinedOutput(); err != nil {
		t.Fatalf("conntrack -F: %v\n%s", err, out)
	}
	b.takeOver(t, clients, func() { b.start(t, defaults()) }) // and back
	b.unchanged(t)
}
