// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"testing"

	"fairlead/internal/inet"

	"golang.org/x/sys/unix"
)

// TestKept: the table stays open, and a failed search is followed by one with new sockets, because
// an old one may hold answers that nobody waits for any more.
func TestKept(t *testing.T) {
	f := newFlows(t)
	var k kept
	first, err := k.get(f.ns, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := k.get(f.ns, nil); err != nil || again != first {
		t.Errorf("the table is opened again, error %v", err)
	}
	if err := k.dropAfter(nil); err != nil || k.table != first {
		t.Errorf("the table is closed without an error: %v", err)
	}
	if err := k.dropAfter(unix.ENOBUFS); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("the error is %v", err)
	}
	second, err := k.get(f.ns, nil)
	if err != nil || second == first {
		t.Errorf("the table stays open after an error: %v", err)
	}
	if err := second.dump(query{proto: inet.UDP}, func(entry) {}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(k.drop(), k.drop()); err != nil {
		t.Error(err)
	}
}
