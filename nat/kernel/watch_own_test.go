// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// readsOf are nl.Calls that count the reads of each descriptor, and whose writes to one fail.
type readsOf struct {
	nltest.Counter
	mu    sync.Mutex
	reads map[int]int
	dead  int // a descriptor, or 0
}

func (r *readsOf) Receive(fd int, b []byte, flags int) (int, unix.Sockaddr, error) {
	r.mu.Lock()
	r.reads[fd]++
	r.mu.Unlock()
	return r.Counter.Receive(fd, b, flags)
}

func (r *readsOf) Send(fd int, b []byte) error {
	r.mu.Lock()
	dead := r.dead == fd
	r.mu.Unlock()
	if dead {
		return unix.EBADF
	}
	return r.Counter.Send(fd, b)
}

func (r *readsOf) kill(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = fd
}

// busy returns the descriptors that were read often, and forgets all reads.
func (r *readsOf) busy(often int) (fds []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for fd, reads := range r.reads {
		if reads >= often {
			fds = append(fds, fd)
		}
	}
	clear(r.reads)
	return fds
}

// changeFrom removes a table from a socket with a port.
func changeFrom(t *testing.T, ns *netns.NS, port uint32) {
	t.Helper()
	var fd int
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: port}); err != nil {
		t.Fatalf("take port %d: %v", port, err)
	}
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE, 0, unix.NFPROTO_INET, 0, 0, 0)
	m.String(unix.NFTA_TABLE_NAME, ruleset.TableName)
	m.Begin(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES)
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, m.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
}

// TestOwnCommitsWakeNobody: a Watch does not read what the kernel tells of our own commits. The
// generation that they make is known nevertheless, so no check takes them for a change by another
// program. When a socket breaks and another one takes its place, the same holds for that one, and
// a program that takes the port of the broken one is noticed.
func TestOwnCommitsWakeNobody(t *testing.T) {
	const commits = 100
	ns := nstest.New(t)
	calls := &readsOf{reads: map[int]int{}}
	table, err := kernel.OpenWith(ns, calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	s := fillState(10, 2)
	settle(t, s, table)
	ctx, cancel := context.WithCancel(t.Context())
	pokes, done := make(chan nat.Writer, 100), make(chan error)
	const every = 200 * time.Millisecond
	go func() { done <- table.WatchWith(ctx, every, false, func(w nat.Writer) { pokes <- w }) }()
	<-pokes // for all that was before
	change := func() {
		t.Helper()
		for i := range commits {
			s.Set(clusterService(i%10, 3+i/10%2))
			settle(t, s, table)
		}
	}
	calls.busy(0)
	change()
	// The socket that commits reads for each commit, and that of the checks now and then.
	busy := calls.busy(commits)
	if len(busy) != 1 {
		t.Fatalf("%d sockets read during %d commits, want the one that commits", len(busy), commits)
	}
	old := table.Port()
	calls.kill(busy[0])
	s.Set(clusterService(0, 5))
	if err := table.Commit(t.Context(), s.Next(0).Batch); !errors.Is(err, unix.EBADF) {
		t.Fatalf("a commit to a broken socket: %v", err)
	}
	calls.kill(-1) // the number may be that of the next one
	change()
	if table.Port() == old {
		t.Fatal("the broken socket still commits")
	}
	select {
	case w := <-pokes:
		t.Errorf("a poke about %v for our own commits", w)
	case <-time.After(4 * every):
	}
	changeFrom(t, ns, old)
	select {
	case <-pokes:
	case <-time.After(20 * time.Second):
		t.Error("no poke for a change from the port that the broken socket had")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch: %v", err)
	}
}
