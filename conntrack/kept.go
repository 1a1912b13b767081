// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// kept is the kernel's table, which stays open. nf_tables hears of each netfilter socket that
// is closed: it keeps the mutex of all commits while it waits for what earlier commits destroy,
// some 20 ms (nft_rcv_nl_event in kernel 6.18). A search twice a second would stop the loop for
// so long each time. The zero value is not open.
type kept struct{ table *table }

// get opens the table unless it is open.
func (k *kept) get(ns *netns.NS, calls nl.Calls) (*table, error) {
	if k.table == nil {
		t, err := openTable(ns, calls)
		if err != nil {
			return nil, err
		}
		k.table = t
	}
	return k.table, nil
}

// drop closes the table, so that the next search begins with new sockets.
func (k *kept) drop() error {
	if k.table == nil {
		return nil
	}
	t := k.table
	k.table = nil
	return t.close()
}

// dropAfter is drop after an error, which it returns.
func (k *kept) dropAfter(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, k.drop())
}
