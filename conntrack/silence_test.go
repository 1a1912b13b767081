// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/nl"
	"fairlead/internal/nl/nltest"
)

// TestDeleteDeadline takes away the kernel's answer to a deletion. The deletion ends with an error
// .
func TestDeleteDeadline(t *testing.T) {
	f := newFlows(t)
	var faults nltest.Faults
	k, err := openTable(f.ns, &faults)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.close() }()
	f.add(t, inet.UDP, "10.0.0.1:1", "10.96.0.1:53", "10.96.0.1:53")
	flow := Flow{Client: ap("10.0.0.1:1"), Dialled: udp("10.96.0.1:53")}
	faults.Arm(nltest.Fault{Name: "silence", Place: nltest.Silence}, 1, 1)
	if err := k.delete(flow); !errors.Is(err, nl.ErrLost) {
		t.Errorf("deletion without an answer: %v, want %v", err, nl.ErrLost)
	}
	if faults.Disarm() == 0 {
		t.Error("the deletion has no deadline: its answer does not pass internal/nl")
	}
	if err := k.delete(flow); err != nil {
		t.Errorf("deletion after one without an answer: %v", err)
	}
}
