// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// TestOutcome distinguishes the ways in which an answer can fail to come.
func TestOutcome(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true})
	node := c.Nodes[0]
	pod := labtest.Pod(t, node, "a", 80, protos...)
	labtest.Serve(t, c.Outside, 80, protos...)

	tests := []struct {
		name     string
		from, to *lab.Host
		port     uint16
		proto    inet.Proto
		want     string
	}{
		{"nobody listens", pod.Host, node.Host, 80, inet.TCP, "refused"},
		{"nobody listens", pod.Host, node.Host, 80, inet.UDP, "refused"},
		{"no SCTP on the host", pod.Host, node.Host, 80, inet.SCTP, "unreachable"},
		{"the router knows no pods", c.Outside, pod.Host, 80, inet.TCP, "unreachable"},
		{"the router knows no pods", c.Outside, pod.Host, 80, inet.UDP, "unreachable"},
		{"the router knows no pods", c.Outside, pod.Host, 80, inet.SCTP, "unreachable"},
		{"answers get lost", pod.Host, c.Outside, 80, inet.TCP, "timeout"},
		{"answers get lost", pod.Host, c.Outside, 80, inet.UDP, "timeout"},
		{"answers get lost", pod.Host, c.Outside, 80, inet.SCTP, "timeout"},
	}
	for _, tt := range tests {
		for _, addr := range tt.to.Addrs() {
			at := inet.Addr{IP: addr, Port: tt.port, Proto: tt.proto}
			t.Run(tt.name+" "+at.String(), func(t *testing.T) {
				// Those that wait for nothing wait together, after the others. Over IPv4 three packets of
				// each kind have no route, and the kernel sends a source five errors about that, then
				// one a second. A client over UDP or SCTP that gets none does not ask again.
				wait := 20 * time.Second
				if tt.want == "timeout" {
					t.Parallel()
					wait = 500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				if got := tt.from.Try(ctx, at); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// TestConn keeps connections open, like a client with long-lived connections.
func TestConn(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1})
	client := labtest.Pod(t, c.Nodes[0], "client", 0)
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			pod := labtest.Pod(t, c.Nodes[0], "server-"+proto.String(), 80)
			server, err := pod.Serve(proto, 80)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := client.Open(labtest.Patient(t), inet.Addr{IP: pod.Addr4, Port: 80, Proto: proto})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			for range 2 {
				reply, err := conn.Ask(labtest.Patient(t))
				if want := (lab.Reply{Server: pod.Name, Source: conn.Source()}); err != nil || reply != want {
					t.Errorf("got %v, %v, want %v", reply, err, want)
				}
			}
			if proto == inet.TCP && server.Open() != 1 {
				t.Errorf("%d connections are open, want 1", server.Open())
			}
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			ctx := shortly(t)
			if proto == inet.TCP {
				ctx = labtest.Patient(t)
			}
			if _, err := conn.Ask(ctx); err == nil {
				t.Error("a closed server answers")
			} else if proto == inet.TCP && !errors.Is(err, lab.ErrReset) {
				t.Errorf("got %v, want %v", err, lab.ErrReset)
			}
		})
	}
}

// TestConnCancelled waits for a server that never speaks, with all the time in the world,
// until the context is cancelled.
func TestConnCancelled(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1})
	client := labtest.Pod(t, c.Nodes[0], "client", 0)
	mute := labtest.Pod(t, c.Nodes[0], "mute", 0)
	to := inet.Addr{IP: mute.Addr4, Port: 80, Proto: inet.TCP}
	var l net.Listener
	if err := mute.NS.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", to.AddrPort().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	time.AfterFunc(shortTime, cancel)
	if conn, err := client.Open(ctx, to); !errors.Is(err, lab.ErrTimeout) {
		t.Errorf("got %v, %v, want %v", conn, err, lab.ErrTimeout)
	}
}

const shortTime = 300 * time.Millisecond

func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), shortTime)
	t.Cleanup(cancel)
	return ctx
}

// TestComeAndGo takes pods and nodes away and adds new ones.
func TestComeAndGo(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true})
	client := labtest.Pod(t, c.Nodes[0], "client", 0)
	old := labtest.Pod(t, c.Nodes[0], "old", 80, inet.TCP)
	at := inet.Addr{IP: old.Addr6, Port: 80, Proto: inet.TCP}
	if got := client.Try(labtest.Patient(t), at); !strings.HasPrefix(got, "old saw") {
		t.Fatal(got)
	}
	if err := errors.Join(old.Close(), old.Close()); err != nil {
		t.Fatal(err)
	}
	if got := client.Try(labtest.Patient(t), at); got != "unreachable" {
		t.Errorf("a pod that is gone: got %q, want unreachable", got)
	}
	if _, err := c.Nodes[0].AddPod("client"); err == nil {
		t.Error("two pods of one name")
	}
	if next := labtest.Pod(t, c.Nodes[0], "new", 80, inet.TCP); next.Addr6 == old.Addr6 {
		t.Errorf("address %s was handed out twice", next.Addr6)
	}

	node, err := c.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	far := labtest.Pod(t, node, "far", 80, inet.TCP)
	if got, want := client.Try(labtest.Patient(t), inet.Addr{IP: far.Addr4, Port: 80, Proto: inet.TCP}), "far saw "+client.Addr4.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	if len(c.Nodes) != 1 {
		t.Errorf("%d nodes are left, want 1", len(c.Nodes))
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []lab.Config{{Nodes: -1}, {Nodes: 251}, {PodLink: 7}} {
		if _, err := lab.New(t.Context(), cfg); err == nil {
			t.Errorf("%+v was built", cfg)
		}
	}
}
