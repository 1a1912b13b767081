// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package offload_test

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"fairlead/internal/nstest"
	"fairlead/internal/offload"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestDisable switches the checksums of a tunnel off, once.
func TestDisable(t *testing.T) {
	ns := nstest.New(t)
	if err := ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "tunnel"}, VxlanId: 7, Port: 8472})
	}); err != nil {
		t.Fatal(err)
	}
	before, err := offload.Read(ns, "tunnel")
	if err != nil || !slices.Contains(before.On, "tx-checksum-ip-generic") || !slices.Contains(before.Can, "tx-checksum-ip-generic") {
		t.Fatalf("a new tunnel has %+v, %v", before, err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := offload.Disable(ns, "tunnel"); err != nil || changed != want {
			t.Errorf("changed %v, %v, want %v", changed, err, want)
		}
	}
	if after, err := offload.Read(ns, "tunnel"); err != nil || len(after.On) > 0 {
		t.Errorf("afterwards it has %+v, %v", after, err)
	}
	if _, err := offload.Disable(ns, "absent"); err == nil {
		t.Error("a device that does not exist is no error")
	}
}

// TestRefused: the loopback device keeps its checksums, which is an error.
func TestRefused(t *testing.T) {
	if changed, err := offload.Disable(nstest.New(t), "lo"); err == nil || changed {
		t.Errorf("changed %v, %v", changed, err)
	}
}
