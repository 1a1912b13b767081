// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package kernel reads and writes the table "inet fairlead" over netlink. It is
// the only package below nat that does I/O: Commit carries out a batch, Load
// returns a snapshot, Watch reports changes by other programs.
package kernel

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Table is the table in the kernel. Watch and BackendCounters may run beside the
// other methods; these are not safe for concurrent use. Close the table when Watch has returned.
type Table struct {
	ns       *netns.NS
	calls    nl.Calls // nil outside of tests
	socket   *nl.Socket
	watchers watchers
	counters readers // of BackendCounters
	commits  *commits
	out      nl.Messages             // reused by each batch
	room     elementRoom             // reused by each element
	owner    []int32                 // the operation that each message of the batch belongs to
	names    names                   // elements that may have changed
	later    map[ruleset.Set][]entry // entries of affinity maps that follow the batch
	few      uint32                  // fewSlots outside of tests
	refusals refusals
}

// entry is what the kernel has of one client in an affinity map.
type entry struct {
	key, data        string
	timeout, expires uint64 // in milliseconds
}

// self is the table as nf_tables names it.
var self = nft.Table{Family: unix.NFPROTO_INET, Name: ruleset.TableName}

// bufferSize is what a batch and its answers may need in the socket, in bytes. A
// batch of ruleset.DefaultLimit fits into the default size, too.
const bufferSize = 4 << 20

// fewSlots is the size of a map of backends up to which a dump takes no longer than questions
// for its keys (kernel 6.18).
const fewSlots = 40_000

// Open opens the table in a network namespace, nil for that of the process. It
// makes nothing yet. It needs CAP_NET_ADMIN in the user namespace that owns ns, and
// returns nat.ErrPermission without it.
func Open(ns *netns.NS) (*Table, error) { return OpenWith(ns, nil) }

// OpenWith is Open for tests that make system calls fail.
func OpenWith(ns *netns.NS, calls nl.Calls) (*Table, error) {
	return openBeside(ns, calls, nil)
}

// openBeside opens the table once more for a goroutine of its own, beside one whose Watch takes what
// both commit for its own, unless that is nil.
func openBeside(ns *netns.NS, calls nl.Calls, first *Table) (*Table, error) {
	t := &Table{ns: ns, calls: calls, few: fewSlots, commits: &commits{}}
	if first != nil {
		t.commits, t.watchers.beside = first.commits, &first.watchers
	}
	t.counters.dial = func() (*nl.Socket, error) { return t.dial() }
	socket, err := t.dial()
	if err != nil {
		return nil, fmt.Errorf("open nftables socket: %w", err)
	}
	if _, err := generation(socket); errors.Is(err, unix.EPERM) {
		_ = socket.Close()
		return nil, fmt.Errorf("read nftables: %w", classify(err))
	}
	t.socket = socket
	t.watchers.use(socket.Port())
	return t, nil
}

func dial(ns *netns.NS, groups ...uint32) (*nl.Socket, error) {
	return (&Table{ns: ns}).dial(groups...)
}

// newReaders returns readers in a network namespace, nil for that of the process.
func newReaders(ns *netns.NS) *readers {
	return &readers{dial: func() (*nl.Socket, error) { return dial(ns) }}
}

func (t *Table) dial(groups ...uint32) (*nl.Socket, error) {
	return nl.Dial(nl.Config{
		Protocol: unix.NETLINK_NETFILTER, Namespace: t.ns, Groups: groups,
		SendBuffer: bufferSize, ReceiveBuffer: bufferSize, Calls: t.calls,
	})
}

// listenRest is how long notifications of a program wait that changes tables all the time.
const listenRest = 50 * time.Millisecond

// listener opens a socket for notifications.
func (t *Table) listener(groups ...uint32) (*nl.Socket, error) {
	return nl.Dial(nl.Config{
		Protocol: unix.NETLINK_NETFILTER, Namespace: t.ns, Groups: groups,
		ReceiveBuffer: bufferSize, Rest: listenRest, Refused: t.refusals.add, Calls: t.calls,
	})
}

// OnRefusal makes the table tell, once each, what the kernel refuses and Watch does without, at more
// cost. tell must not block, and may be called by several goroutines. Call OnRefusal before Watch.
func (t *Table) OnRefusal(tell func(error)) { t.refusals.tell = tell }

// renew replaces a socket of which a system call failed.
func (t *Table) renew() error {
	if !t.socket.Broken() {
		return nil
	}
	socket, err := t.dial()
	if err != nil {
		return fmt.Errorf("open nftables socket again: %w", err)
	}
	t.watchers.use(socket.Port())
	_ = t.socket.Close() // The kernel has no more to say about it.
	t.socket = socket
	return nil
}

// Close closes the socket and leaves the table in place.
func (t *Table) Close() error {
	t.watchers.leave()
	t.counters.close()
	return t.socket.Close()
}

// transact is nl.Socket.Transact on the socket of the table.
func (t *Table) transact(m *nl.Messages, refused func(i int, err error)) error {
	return t.commits.transact(t.socket, m, refused)
}

// madeByOthers is commits.others.
func (t *Table) madeByOthers(requests *nl.Socket) (uint32, error) {
	return t.commits.others(func() (uint32, error) { return generation(requests) })
}

// generation returns the number of the last commit to any table.
func generation(socket *nl.Socket) (uint32, error) {
	var m nl.Messages
	self.Begin(&m, unix.NFT_MSG_GETGEN, 0)
	var id uint32
	if err := socket.Get(&m, func(r nl.Reply) { id = nft.ReadGeneration(r) }); err != nil {
		return 0, fmt.Errorf("get generation: %w", err)
	}
	return id, nil
}
