// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

type fixedCounters []nat.BackendCounter

func (c fixedCounters) BackendCounters(context.Context) ([]nat.BackendCounter, error) { return c, nil }

// TestBusiestFirst reads counters of three Services and loses the table: the Services come
// back in the order of their connections.
func TestBusiestFirst(t *testing.T) {
	w := newTestWorld(t)
	for i := 1; i <= 3; i++ {
		if err := w.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: s%d}
spec: {clusterIP: 10.96.0.%[1]d, ports: [{port: 80, protocol: TCP}]}
`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.sync(); err != nil {
		t.Fatal(err)
	}
	key := func(i int) inet.Addr { return nattest.Addr(fmt.Sprintf("10.96.0.%d:80", i), inet.TCP) }
	counters := w.p.Counters(fixedCounters{
		{Frontend: key(2), Connections: 5}, {Frontend: key(2), Connections: 6}, {Frontend: key(3), Connections: 10},
	})
	if _, err := counters.BackendCounters(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.table.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.p.apply.Distrust()
	ops, err := w.sync()
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) int { return strings.Index(ops, fmt.Sprintf("add element vips4 { 10.96.0.%d ", i)) }
	if at(2) < 0 || at(2) > at(3) || at(3) > at(1) {
		t.Errorf("repaired in another order than that of connections:\n%s", ops)
	}
}
