// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// disturbed are nl.Calls that do something right before each question for elements.
type disturbed struct {
	nltest.Counter
	do func()
}

func (d *disturbed) Send(fd int, b []byte) error {
	const question = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM
	if d.do != nil && binary.NativeEndian.Uint16(b[4:]) == question {
		d.do()
	}
	return d.Counter.Send(fd, b)
}

// TestSlotsDisturbed reads a map by its keys while another program makes a transaction about another
// set before each question. One reading suffices, because the map has as many elements as answered.
func TestSlotsDisturbed(t *testing.T) {
	ns := nstest.New(t)
	var calls disturbed
	table, err := kernel.OpenWith(ns, &calls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	other := open(t, ns)
	settle(t, fillState(300, 10), table)
	commit(t, other, ruleset.Batch{{Verb: ruleset.AddSet, Set: theirSet()}})
	table.AlwaysAsk()
	needCounts(t, table, backends4)
	next := uint32(0)
	calls.do = func() {
		commit(t, other, ruleset.Batch{{Verb: ruleset.AddElement, Element: element(theirSet(), next, "")}})
		next++
	}
	if !table.Asked(t, backends4) || next == 0 {
		t.Errorf("%s was not read by its keys, beside %d transactions", backends4, next)
	}
}
