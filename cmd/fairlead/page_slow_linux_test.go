// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// slowReaders is more than the connections that a port of the agent keeps.
const slowReaders = 200

// TestPageSlowReaders: 200 clients ask for the page again and again and read nothing.
// Changes of endpoints go on, and a client that reads gets an answer.
func TestPageSlowReaders(t *testing.T) {
	nstest.Need(t)
	opts := worldOf(t, lab.Config{Nodes: 1}, "--metrics-bind-address", "0.0.0.0:10249", "--backend-counters")
	w, err := world.New(t.Context(), opts, 2)
	testWorld(t, w, err)
	if err := errors.Join(w.StartAgents(), w.WaitAgents(t.Context(), w.Web)); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	at := net.JoinHostPort(node.Addr4.String(), "10249")
	eventually(t, "the page is there", func() error { return probe(t, node.Host, node.Addr4, 10249) })
	before := settled(t, w.Agents[node.Name].Pid())

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, slowReaders)
	var asked atomic.Int64
	dial := dialer(w.Cluster.Outside)
	for range slowReaders {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				readNothing(ctx, dial, at, &asked)
			}
		}()
	}
	defer func() {
		cancel()
		for range slowReaders {
			<-done
		}
	}()
	eventually(t, "the clients ask", func() error {
		if n := asked.Load(); n < 10*slowReaders {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	most := 0
	for i := range 5 {
		follows(t, w, i)
		most = max(most, rss(t, w.Agents[node.Name].Pid()))
	}
	if most-before > floodRSS && !nstest.Race {
		t.Errorf("the agent grew by %d bytes, at most %d are allowed", most-before, floodRSS)
	}
	eventually(t, "a client that reads gets an answer", func() error { return probe(t, node.Host, node.Addr4, 10249) })
	t.Logf("%d requests; the agent's memory grew from %d to at most %d KiB", asked.Load(), before>>10, most>>10)
}

// readNothing sends requests until the agent has closed the connection or takes no more.
func readNothing(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), at string, asked *atomic.Int64) {
	c, err := dial(ctx, "tcp", at)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
	request := strings.Repeat("GET / HTTP/1.1\r\nHost: "+at+"\r\n\r\n", 10)
	for ctx.Err() == nil {
		if _, err := c.Write([]byte(request)); err != nil {
			return
		}
		asked.Add(10)
	}
}
