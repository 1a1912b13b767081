// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/worker"
)

// TestKeepFirewallWithoutFiles: while the process may open no more files, the check
// reports that and the agent goes on.
func TestKeepFirewallWithoutFiles(t *testing.T) {
	n := leaseNetwork(nil)
	n.table, n.tunnels = func() bool { return true }, worker.NewInbox[struct{}]()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // one check
	err := n.keepFirewall(ctx)
	if err != nil {
		t.Errorf("the agent ends: %v", err)
	}
	restore()
	problems := n.store.Book().Problems()
	if len(problems) != 1 || !strings.Contains(problems[0].Text, "too many open files") {
		t.Errorf("problems are %v", problems)
	}
}
