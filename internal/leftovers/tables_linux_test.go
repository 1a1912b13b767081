// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/internal/nstest"
)

// TestGeneration checks that each commit of any program is noticed.
func TestGeneration(t *testing.T) {
	ns := nstest.New(t)
	raw, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	before, err := generation(raw)
	if err != nil {
		t.Fatal(err)
	}
	x := &remover{ns: ns}
	if err := x.transaction(func(c *nftables.Conn) { c.AddTable(&nftables.Table{Name: "x", Family: nftables.TableFamilyIPv4}) }); err != nil {
		t.Fatal(err)
	}
	if after, err := generation(raw); err != nil || after != before+1 {
		t.Errorf("generation %d, %v, was %d", after, err, before)
	}
}
