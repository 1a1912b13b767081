// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

// handedOver is a Service with one or two endpoints on this node.
const handedOver = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.0.7]}%s]
`

// TestHandover starts the next agent of a node before the one before it ends, as an update with
// a surge would, and ends that by SIGTERM or SIGKILL. Each agent wants other endpoints than the
// one before. Meanwhile clients connect all the time, and one connection stays open; none fails.
func TestHandover(t *testing.T) {
	nstest.Need(t)
	for _, args := range [][]string{
		{"addr", "add", "10.244.0.7/32", "dev", "lo"}, {"addr", "add", "10.244.0.8/32", "dev", "lo"}, {"route", "add", "10.96.0.0/16", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	for _, addr := range []string{"10.244.0.7:8080", "10.244.0.8:8080"} {
		echo(t, addr)
	}
	agent := func(i int) *process {
		dir, more := t.TempDir(), ""
		if i%2 == 1 {
			more = ", {addresses: [10.244.0.8]}"
		}
		if err := os.WriteFile(dir+"/service.yaml", fmt.Appendf(nil, handedOver, more), 0o600); err != nil {
			t.Fatal(err)
		}
		return startAgent(t, nil, "--manifests", dir, "--metrics-bind-address", "", "--healthz-bind-address", "", "-v", "2")
	}
	now := agent(0)
	now.logs(t, `"Programmed the table"`)
	clients := newClients(t)
	for i := range 6 {
		next := agent(i + 1)
		next.logs(t, fmt.Sprintf(`"Another fairlead runs on this node, waiting until it ends" pid=%d`, now.Process.Pid))
		if err := now.Process.Signal([]os.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]); err != nil {
			t.Fatal(err)
		}
		_ = now.Wait()
		next.logs(t, `"The other agent has ended, taking over"`)
		next.logs(t, `"Programmed the table"`)
		clients.goOn(t, 50)
		now = next
	}
	clients.end(t)
}

// echo answers connections to an address with what they send, until the test ends.
func echo(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
}

// clients connect to the Service until end.
type clients struct {
	stop   chan struct{}
	group  sync.WaitGroup
	served atomic.Int64
	failed chan error
}

func newClients(t *testing.T) *clients {
	t.Helper()
	c := &clients{stop: make(chan struct{}), failed: make(chan error, 1000)}
	for i := range 4 {
		c.group.Go(func() {
			var open net.Conn
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				if open == nil {
					var err error
					if open, err = net.DialTimeout("tcp", "10.96.0.1:80", 20*time.Second); err != nil {
						c.fail(err)
						continue
					}
				}
				if err := pingPong(open); err != nil {
					c.fail(err)
				}
				c.served.Add(1)
				if i > 0 { // the first one keeps its connection
					_ = open.Close()
					open = nil
				}
			}
		})
	}
	return c
}

func (c *clients) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// pingPong sends a line and reads it back.
func pingPong(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("ping\n")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

// goOn waits until n more questions are answered.
func (c *clients) goOn(t *testing.T, n int64) {
	t.Helper()
	from := c.served.Load()
	eventually(t, "clients go on", func() error {
		if c.served.Load() < from+n {
			return fmt.Errorf("%d of %d questions", c.served.Load()-from, n)
		}
		return nil
	})
}

// end stops the clients, and reports what failed.
func (c *clients) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.group.Wait()
	close(c.failed)
	n := 0
	for err := range c.failed {
		if n++; n <= 5 {
			t.Error(err)
		}
	}
	t.Logf("%d questions, %d failed", c.served.Load(), n)
}
