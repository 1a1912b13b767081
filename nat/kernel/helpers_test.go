// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"strings"
	"testing"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// open opens the table in a namespace, for as long as the test runs.
func open(t testing.TB, ns *netns.NS) *kernel.Table {
	t.Helper()
	table, err := kernel.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// ofVariety returns a namespace with a table that has a frontend of every shape, and the state
// that knows the table.
func ofVariety(t *testing.T) (*netns.NS, *kernel.Table, *plan.State) {
	t.Helper()
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	settle(t, s, table)
	return ns, table, s
}

// settle commits batches until nothing is pending and returns how many.
func settle(t testing.TB, s *plan.State, table *kernel.Table) int {
	t.Helper()
	n := 0
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		s.Acked(b)
		n++
	}
	return n
}

// newNames are what nft 1.1 prints in other words than nft 1.0, for the same rules in the
// kernel: names of priorities at output, and from 1.1.7 the result of a lookup that is
// only checked.
var newNames = strings.NewReplacer(
	"hook output priority dstnat;", "hook output priority -100;",
	"hook output priority dstnat + 1;", "hook output priority -99;",
	" . iif check missing", " . iif oif missing",
)

// list returns what nft lists, with nothing on stderr and exit code 0, in the words of
// nft 1.0.
func list(t testing.TB, ns *netns.NS) string {
	t.Helper()
	cmd := nstest.Command(t, ns, "nft", "list", "table", "inet", ruleset.TableName)
	var stderr textBuffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("nft list table: %v, stderr %q", err, stderr.String())
	}
	return newNames.Replace(string(out))
}
