// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"testing"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
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

// list returns what nft lists, with nothing on stderr and exit code 0.
func list(t testing.TB, ns *netns.NS) string {
	t.Helper()
	cmd := nstest.Command(t, ns, "nft", "list", "table", "inet", ruleset.TableName)
	var stderr textBuffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("nft list table: %v, stderr %q", err, stderr.String())
	}
	return string(out)
}
