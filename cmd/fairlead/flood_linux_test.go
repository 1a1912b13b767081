// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

const (
	floodHeaders = 360       // connections with an unfinished header
	floodHeader  = 900 << 10 // bytes of it
	floodIdle    = 20000     // connections that send nothing
	floodRSS     = 20 << 20  // bytes that the agent may grow by
)

// TestFlood attacks every port of an agent from outside of the cluster. The agent must
// stay small, answer probes, and follow changes of endpoints, even if it may open only
// 64 files.
func TestFlood(t *testing.T) {
	nstest.Long(t, "TestPageSlowReaders and TestReadyzFalls ask the same servers")
	nstest.Need(t)
	for _, files := range []int{0, 64} {
		t.Run(fmt.Sprintf("files=%d", files), func(t *testing.T) { testFlood(t, files) })
	}
}

func testFlood(t *testing.T, files int) {
	t.Helper()
	opts := worldOf(t, lab.Config{Nodes: 1})
	opts.Flags = []string{"--metrics-bind-address", "0.0.0.0:10249"}
	if files > 0 {
		opts.Agent = limited(t, files)
	}
	w, err := world.New(t.Context(), opts, 2)
	testWorld(t, w, err)
	node := w.Cluster.Nodes[0]
	if err := errors.Join(w.StartAgents(), w.WaitAgents(t.Context(), w.Web), world.WriteManifest(w.Manifests, "lb.yaml", floodService(w))); err != nil {
		t.Fatal(err)
	}
	ports := []uint16{10256, 10249, 30900}
	for _, port := range ports {
		eventually(t, fmt.Sprintf("port %d answers", port), func() error { return probe(t, node.Host, node.Addr4, port) })
	}
	before := settled(t, w.Agents[node.Name].Pid())

	ctx, cancel := context.WithCancel(t.Context())
	flood := startFlood(ctx, w.Cluster.Outside, node.Addr4, ports)
	defer flood.stop()
	defer cancel()
	eventually(t, "the flood runs", func() error {
		if flood.opened.Load() < floodHeaders {
			return fmt.Errorf("%d connections", flood.opened.Load())
		}
		return nil
	})
	most, slowest := 0, time.Duration(0)
	for i := 0; i < 10 || flood.idle.Load() > 0 && i < 200; i++ {
		most = max(most, rss(t, w.Agents[node.Name].Pid()))
		for _, port := range ports {
			start := time.Now()
			if err := probe(t, node.Host, node.Addr4, port); err != nil {
				t.Errorf("port %d: %v after %s with %d connections", port, err, time.Since(start), flood.opened.Load())
			}
			slowest = max(slowest, time.Since(start))
		}
		follows(t, w, i)
	}
	t.Logf("%d connections were opened, %d failed; the slowest answer took %s; the agent's memory grew from %d to at most %d KiB",
		flood.opened.Load(), flood.failed.Load(), slowest, before>>10, most>>10)
	if most-before > floodRSS {
		t.Errorf("the agent grew by %d bytes, at most %d are allowed", most-before, floodRSS)
	}
}

// limited returns a program that runs the agent with a limit of open files.
func limited(t *testing.T, files int) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", files, self)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// floodService has a health check port.
func floodService(w *world.World) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: lb, namespace: default}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: 30900
  clusterIP: 10.96.0.90
  clusterIPs: [10.96.0.90]
  ports: [{name: hello, port: 80, targetPort: 8080, nodePort: 30090}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lb-1, namespace: default, labels: {kubernetes.io/service-name: lb}}
addressType: IPv4
ports: [{name: hello, port: 8080}]
endpoints: [{addresses: [%s], nodeName: %s, conditions: {ready: true}}]
`, w.Web.Endpoints[0].Pod.Addr4, w.Cluster.Nodes[0].Name)
}

// follows adds a Service and waits until it is served.
func follows(t *testing.T, w *world.World, i int) {
	t.Helper()
	s := w.Web
	s.Name, s.NodePort, s.ClusterIPs = fmt.Sprintf("more-%d", i), 0, []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 1, byte(i + 1)})}
	if err := w.Write(s); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	at := inet.Addr{IP: s.ClusterIPs[0], Port: s.Port, Proto: inet.TCP}
	eventually(t, "a Service that was added during the flood", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := w.Cluster.Nodes[0].Dial(ctx, at)
		return err
	})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a change took %s", took)
	}
}

// dialer returns a function that dials from inside a host.
func dialer(h *lab.Host) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = h.NS.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
}

// probe asks /healthz on a connection of its own, as a kubelet does.
func probe(t *testing.T, from *lab.Host, ip netip.Addr, port uint16) error {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer(from)}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+netip.AddrPortFrom(ip, port).String()+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(resp.Status))
	}
	return errors.Join(err, resp.Body.Close())
}

// rss returns the resident memory of a process in bytes, without the pages of its program. Those
// come and go, whoever asks.
func rss(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// settled returns the resident memory once it is the same for a second.
func settled(t *testing.T, pid int) int {
	t.Helper()
	last, since := rss(t, pid), time.Now()
	eventually(t, "the agent's memory settles", func() error {
		if now := rss(t, pid); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < time.Second {
			return errors.New("it changes")
		}
		return nil
	})
	return last
}

// flood is an attack that goes on until stop.
type flood struct {
	opened atomic.Int64 // connections that were established
	failed atomic.Int64 // connections that were not
	idle   atomic.Int64 // goroutines that still open idle connections
	done   sync.WaitGroup
}

func startFlood(ctx context.Context, from *lab.Host, ip netip.Addr, ports []uint16) *flood {
	f := &flood{}
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	room := int(limit.Cur) - 2*floodHeaders - 500 // for idle connections
	header := []byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", floodHeader))
	for i := range floodHeaders {
		f.done.Go(func() { f.hold(ctx, from, netip.AddrPortFrom(ip, ports[i%len(ports)]), header) })
	}
	const dialers = 4
	f.idle.Add(dialers)
	for range dialers {
		f.done.Go(func() {
			var held []net.Conn
			for i := range floodIdle / dialers {
				if len(held) >= room/dialers { // the agent has ended the oldest ones long ago
					_ = held[0].Close()
					held = held[1:]
				}
				if c, err := f.dial(ctx, from, netip.AddrPortFrom(ip, ports[i%len(ports)])); err == nil {
					held = append(held, c)
				}
			}
			f.idle.Add(-1)
			<-ctx.Done()
			for _, c := range held {
				_ = c.Close()
			}
		})
	}
	return f
}

func (f *flood) dial(ctx context.Context, from *lab.Host, at netip.AddrPort) (net.Conn, error) {
	c, err := dialer(from)(ctx, "tcp", at.String())
	if err == nil {
		f.opened.Add(1)
	} else {
		f.failed.Add(1)
	}
	return c, err
}

// hold sends an unfinished header, again on a new connection some time after the agent
// ended the last one. Without the delay the packets overflow the kernel's queue for
// virtual devices (net.core.netdev_max_backlog), and probes lose packets there.
func (f *flood) hold(ctx context.Context, from *lab.Host, at netip.AddrPort, header []byte) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		if c, err := f.dial(ctx, from, at); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			_, _ = c.Write(header)
			_, _ = io.Copy(io.Discard, c) // until the agent closes it
			_ = c.Close()
			stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *flood) stop() { f.done.Wait() }
