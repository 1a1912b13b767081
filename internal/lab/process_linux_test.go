// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// TestProcess runs programs inside a node and checks that one ends with the node.
func TestProcess(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1})
	node := c.Nodes[0]

	var out strings.Builder
	cat := exec.Command("cat", "/proc/net/fib_trie")
	cat.Stdout = &out
	p, err := node.Start(cat)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), node.Addr4.String()) {
		t.Errorf("the program does not see %s in:\n%s", node.Addr4, out.String())
	}

	sleeper, err := node.Start(exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := sleeper.Err(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the node's program ended with %v, want SIGTERM", err)
	}
	if _, err := c.Outside.Start(exec.Command("/no/such/program")); err == nil {
		t.Error("a program that does not exist was started")
	}
}
