// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/apiserver"
	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/internal/worker"
)

// disposableEnv says that the machine is a guest that ends after the test, so that its
// clock may be set.
const disposableEnv = "FAIRLEAD_DISPOSABLE"

// clockWorld is a node whose agent follows an API server.
type clockWorld struct {
	*world.World
	api *apiserver.Server
	// listen makes the listener of an API server.
	listen func() (net.Listener, error)
	cart   world.Service // with session affinity
	udp    *lab.Conn     // a client that keeps asking
	dir    string        // of the agent's socket
	made   int           // Services so far
	// usual is the processor time that the agent uses while nothing happens.
	usual time.Duration
}

// TestClock sets the clock of the machine forth by an hour, back by a day, and forth again
// by a day, while an agent runs. After each of these sticky clients and flows stay where
// they were, a change of objects and one by another program are followed, also after an
// absence of the API server, ages in the state are right, lines of the log have the new
// time, and the agent uses little processor time.
func TestClock(t *testing.T) {
	if os.Getenv(disposableEnv) == "" {
		t.Skip("the test sets the clock of the machine, and " + disposableEnv + " does not say that it may: make kernels runs it")
	}
	nstest.Need(t)
	start := time.Now()
	t.Cleanup(func() { setClock(t, start.Add(time.Since(start))) }) // what it would be
	w := newClockWorld(t)
	client := w.Client.Host
	sticky := w.cart.At(w.cart.ClusterIPs[0])
	before, err := client.Dial(t.Context(), sticky)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := w.udp.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.usual = w.uses(t)
	for _, jump := range []time.Duration{time.Hour, -25 * time.Hour, 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			setClock(t, time.Now().Add(jump))
			if after, err := client.Dial(t.Context(), sticky); err != nil || after.Server != before.Server {
				t.Errorf("the sticky client is at %s, %v, want %s", after.Server, err, before.Server)
			}
			if after, err := w.udp.Ask(t.Context()); err != nil || after.Server != asked.Server {
				t.Errorf("the client of UDP is at %s, %v, want %s", after.Server, err, asked.Server)
			}
			w.follows(t)
			w.repairs(t)
			if after, err := client.Dial(t.Context(), sticky); err != nil || !after.Source.IsValid() {
				t.Errorf("after the repair: %v", err)
			}
			w.looksSane(t, start)
			w.rests(t)
		})
		// The repair forgot who was where.
		if before, err = client.Dial(t.Context(), sticky); err != nil {
			t.Fatal(err)
		}
		if asked, err = w.udp.Ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func setClock(t *testing.T, to time.Time) {
	t.Helper()
	at := unix.NsecToTimespec(to.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &at); err != nil {
		t.Fatal("set the clock: ", err)
	}
}

func newClockWorld(t *testing.T) *clockWorld {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	made, err := world.NewEmpty(t.Context(), worldOf(t, lab.Config{Nodes: 1, NoPodRoutes: true, Subnets: true}, "--socket-dir", dir))
	w := &clockWorld{World: testWorld(t, made, err), dir: dir}
	at := netip.AddrPortFrom(w.Cluster.Outside.Addr4, 6443)
	w.listen = func() (l net.Listener, err error) {
		err = w.Cluster.Outside.NS.Do(func() error {
			l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", at.String())
			return err
		})
		return l, err
	}
	w.api = apiserver.New(w.listen)
	w.Kubeconfig = kubeconfig(t, at.String())
	if err := errors.Join(w.api.Start(), w.api.Apply(world.NodesManifest(w.Cluster.Nodes)), w.StartAgents()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.api.Stop() })
	if w.Client, err = w.Cluster.Nodes[0].AddPod("client"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		e, err := w.AddWebPod(fmt.Sprint("web-", i), 0)
		if err == nil {
			_, err = e.Pod.Serve(inet.UDP, world.WebPort)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Web.Endpoints = append(w.Web.Endpoints, e)
	}
	w.cart = w.service("cart", 30)
	w.cart.Sticky = true
	dns := w.service("dns", 53)
	dns.Proto = inet.UDP
	if err := errors.Join(w.api.Apply(w.Web.Manifest()), w.api.Apply(w.cart.Manifest()), w.api.Apply(dns.Manifest())); err != nil {
		t.Fatal(err)
	}
	w.serves(t, w.Web)
	w.serves(t, w.cart)
	await(t, "a flow of UDP", func() error {
		conn, err := w.Client.Open(t.Context(), dns.At(dns.ClusterIPs[0]))
		w.udp = conn
		return err
	})
	t.Cleanup(func() { _ = w.udp.Close() })
	return w
}

func (w *clockWorld) service(name string, n int) world.Service {
	return world.Service{Name: name, Port: 80, TargetPort: world.WebPort, ClusterIPs: world.VIPs(w.Cluster.Config, n), Endpoints: w.Web.Endpoints}
}

// await waits for longer than eventually, because an emulated processor is slow.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	const patience = 10 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if !worker.Await(ctx, 50*time.Millisecond, func() bool { err = f(); return err == nil }) {
		t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}

// stateWhen asks the agent until its state is as expected.
func (w *clockWorld) stateWhen(t *testing.T, what string, ok func(*state.State) bool) *state.State {
	t.Helper()
	var s *state.State
	await(t, what, func() error {
		sockets, err := filepath.Glob(filepath.Join(w.dir, "*.sock"))
		if err != nil || len(sockets) != 1 {
			return fmt.Errorf("the sockets are %q, %w", sockets, err)
		}
		if s, err = ask.NewClient(sockets[0]).State(t.Context()); err == nil && !ok(s) {
			err = fmt.Errorf("the state is %+v", s)
		}
		return err
	})
	return s
}

// serves waits until the agent serves a Service.
func (w *clockWorld) serves(t *testing.T, s world.Service) {
	t.Helper()
	await(t, s.Name+" is served", func() error { return w.WaitAgents(t.Context(), s) })
}

// follows makes a Service while the API server is there, and another one while it is away.
func (w *clockWorld) follows(t *testing.T) {
	t.Helper()
	add := func() {
		t.Helper()
		w.made++
		s := w.service(fmt.Sprint("new-", w.made), 100+w.made)
		if err := errors.Join(w.api.Apply(s.Manifest()), w.api.Start()); err != nil {
			t.Error(err)
		}
		w.serves(t, s)
	}
	add()
	if err := w.api.Stop(); err != nil {
		t.Error(err)
	}
	w.stateWhen(t, "the API server is away", func(s *state.State) bool {
		// Requests that were under way have begun before the clock was set.
		return s.APIServer.Away != nil && s.Time.Sub(*s.APIServer.Away) >= 0
	})
	add()
}

// repairs flushes the table.
func (w *clockWorld) repairs(t *testing.T) {
	t.Helper()
	was := w.stateWhen(t, "a state", func(*state.State) bool { return true })
	if out, err := nstest.Command(t, w.Cluster.Nodes[0].NS, "nft", "delete", "table", "inet", "fairlead").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.stateWhen(t, "the repair", func(s *state.State) bool { return s.Table.Repairs > was.Table.Repairs && s.Table.InSync && s.Ready })
	w.serves(t, w.cart)
}

// looksSane checks all ages of the state, which begins after a time, and the newest line of
// the log.
func (w *clockWorld) looksSane(t *testing.T, start time.Time) {
	t.Helper()
	s := w.stateWhen(t, "a state in sync", func(s *state.State) bool { return s.Table.InSync && s.APIServer.Reached != nil })
	longest := time.Since(start) + time.Second
	times := map[string]*time.Time{
		"since": &s.Since, "last sync": &s.LastSync.Time, "last in sync": s.Table.LastInSync, "last repair": &s.Table.LastRepair.Time,
		"reached": s.APIServer.Reached, "last contact": s.APIServer.LastContact, "last error": s.APIServer.LastErrorAt,
	}
	for i := range s.Syncs {
		times[fmt.Sprint("sync ", i)] = &s.Syncs[i].Time
	}
	for i := range s.Repairs {
		times[fmt.Sprint("repair ", i)] = &s.Repairs[i].Time
	}
	for i := range s.APIServer.Watches {
		watch := &s.APIServer.Watches[i]
		times[watch.Kind] = &watch.LastHeard
		if silent := time.Duration(watch.SilentSeconds * float64(time.Second)); silent < 0 || silent > longest {
			t.Errorf("%s is silent for %s", watch.Kind, silent)
		}
	}
	for name, at := range times {
		if age := s.Time.Sub(*at); age < 0 || age > longest {
			t.Errorf("%s: %s is %s before %s, want up to %s", name, at, age, s.Time, longest)
		}
	}
	if off := time.Until(s.Time).Abs(); off > 10*time.Second {
		t.Errorf("the state is of %s, which is %s off", s.Time, off)
	}
	for _, sync := range s.Syncs {
		if sync.TookSeconds < 0 || sync.TookSeconds > longest.Seconds() {
			t.Errorf("a sync took %f s", sync.TookSeconds)
		}
	}
	lines := strings.Split(w.Agents[w.Cluster.Nodes[0].Name].Tail(), "\n")
	head, _, _ := strings.Cut(lines[len(lines)-1], ".")
	at, err := time.ParseInLocation("I0102 15:04:05", head, time.Local)
	if at = at.AddDate(time.Now().Year(), 0, 0); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("the log ends with %s, %v, and it is %s", lines[len(lines)-1], err, time.Now())
	}
}

// rests compares the processor time of the agent with what it was before the clock was set.
func (w *clockWorld) rests(t *testing.T) {
	t.Helper()
	if used := w.uses(t); used > 2*w.usual+measured/5 {
		t.Errorf("the agent used %s of the processor in %s, and %s before", used, measured, w.usual)
	}
}

// measured is for how long uses counts processor time.
const measured = 4 * time.Second

func (w *clockWorld) uses(t *testing.T) time.Duration {
	t.Helper()
	pid := w.Agents[w.Cluster.Nodes[0].Name].Pid()
	before := processorTime(t, pid)
	<-time.After(measured)
	return processorTime(t, pid) - before
}
