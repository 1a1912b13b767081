// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"fairlead/internal/lab"
)

// localAPIServers are the addresses at which nodes of RKE2, k3s, Talos and MicroK8s
// reach the API server: a load balancer of theirs listens there.
var localAPIServers = [...]string{"127.0.0.1:6443", "127.0.0.1:6444", "127.0.0.1:7445", "127.0.0.1:16443"}

// forwardAPIServer forwards connections to these addresses of a node to the API server
// until the test ends.
func (c *cluster) forwardAPIServer(t *testing.T, h *lab.Host) {
	t.Helper()
	to, err := url.Parse(c.plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range localAPIServers {
		var l net.Listener
		if err := h.NS.Do(func() (err error) {
			l, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", addr)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { forward(ctx, conn, from(h), to.Host) })
			}
		})
		t.Cleanup(func() {
			_ = l.Close()
			cancel()
			wg.Wait()
		})
	}
}

// forward copies in both directions between a connection and a new one until one ends, or
// ctx is done.
func forward(ctx context.Context, a net.Conn, dial dialer, address string) {
	b, err := dial(ctx, "tcp4", address)
	if err != nil {
		_ = a.Close()
		return
	}
	end := func() {
		_ = a.Close()
		_ = b.Close()
	}
	defer context.AfterFunc(ctx, end)()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			end()
		})
	}
	wg.Wait()
}
