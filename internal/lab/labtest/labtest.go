// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package labtest is package lab for tests: what goes wrong ends the test, and
// everything ends with it. The package of the test calls nstest.Main.
package labtest

import (
	"context"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// New returns a cluster that is closed when t ends.
func New(t testing.TB, cfg lab.Config) *lab.Cluster {
	t.Helper()
	nstest.Need(t)
	c, err := lab.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Pod adds a pod that answers on the given port over each of the protocols, or
// that only dials when none is given.
func Pod(t testing.TB, node *lab.Node, name string, port uint16, protos ...inet.Proto) *lab.Pod {
	t.Helper()
	p, err := node.AddPod(name)
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, p.Host, port, protos...)
	return p
}

// Serve starts servers named like the host.
func Serve(t testing.TB, h *lab.Host, port uint16, protos ...inet.Proto) {
	t.Helper()
	for _, proto := range protos {
		if _, err := h.Serve(proto, port); err != nil {
			t.Fatal(err)
		}
	}
}

// Patient returns a context for an answer that must come. It may take 20 s on a machine with
// other things to do; lab.Patience is for clients that try again.
func Patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Plugins returns a directory of CNI plugins, or skips the test without them.
func Plugins(t testing.TB, plugins ...string) string {
	t.Helper()
	dir, err := lab.FindPlugins(plugins...)
	if err != nil {
		nstest.Skip(t, err.Error())
	}
	return dir
}
