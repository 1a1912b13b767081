// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package kernel reads and writes the table "inet fairlead" over netlink.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/nat/ruleset"
)

// Table is the table in the kernel. Watch and BackendCounters may run beside the other methods;
// these are not safe for concurrent use.
type Table struct {
	ns    int
	table *nftables.Table
	conn  *nftables.Conn // for everything that google/nftables can say
	raw   *netlink.Conn  // for the rest, and for dumps
	// ports are the netlink ports of both sockets: whoever else sends a
	// message that concerns the table is somebody else.
	ports [2]atomic.Uint32
}

// Open opens the table in a network namespace, nil for that of the process. It
// makes nothing yet. Needs CAP_NET_ADMIN in the user namespace that owns ns.
func Open(ns *netns.NS) (*Table, error) {
	t := &Table{table: &nftables.Table{Name: ruleset.TableName, Family: nftables.TableFamilyINet}}
	if ns != nil {
		t.ns = ns.Fd()
	}
	return t, t.dial()
}

// bufferSize is what a batch and its acknowledgements may need in the socket.
const bufferSize = 4 << 20

func (t *Table) dial() error {
	sized := func(c *netlink.Conn) error {
		// Best effort: a batch fits in the default size, too.
		return errors.Join(ignorePermission(c.SetWriteBuffer(bufferSize)), ignorePermission(c.SetReadBuffer(bufferSize)), prime(c))
	}
	raw, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: t.ns})
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	if err := sized(raw); err != nil {
		return errors.Join(fmt.Errorf("size netlink socket: %w", err), raw.Close())
	}
	var port uint32
	conn, err := nftables.New(nftables.WithNetNSFd(t.ns), nftables.AsLasting(),
		nftables.WithSockOptions(func(c *netlink.Conn) error {
			port = c.PID()
			return sized(c)
		}))
	if err != nil {
		return errors.Join(fmt.Errorf("open nftables socket: %w", err), raw.Close())
	}
	t.raw, t.conn = raw, conn
	t.ports[0].Store(raw.PID())
	t.ports[1].Store(port)
	return nil
}

// prime makes the kernel answer dumps on c in pieces of 32 KiB. It takes the size
// from the largest buffer that was ever read with (netlink_recvmsg), and for
// each piece it walks the set from the start: with the library's small buffers
// a dump of 100,000 elements takes seconds.
func prime(c *netlink.Conn) error {
	ask := message(unix.NFT_MSG_GETGEN, 0, nil)
	ask.Header.Flags = netlink.Request
	if _, err := c.Send(ask); err != nil {
		return fmt.Errorf("ask for generation: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		_, _, failed = unix.Recvfrom(int(fd), make([]byte, 64<<10), 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

func ignorePermission(err error) error {
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// Close closes the sockets and leaves the table as it is.
func (t *Table) Close() error {
	return errors.Join(t.conn.CloseLasting(), t.raw.Close())
}

func (t *Table) redial() error {
	err := t.Close()
	return errors.Join(err, t.dial())
}

func (t *Table) set(s ruleset.Set) *nftables.Set {
	return &nftables.Set{Table: t.table, Name: s.String(), IsMap: s.Spec().IsMap()}
}

// Delete removes the table with everything in it. A table that does not exist
// is not an error.
func (t *Table) Delete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	table := attrs(str(unix.NFTA_TABLE_NAME, ruleset.TableName))
	err := t.send([]netlink.Message{
		message(unix.NFT_MSG_NEWTABLE, netlink.Create, table),
		message(unix.NFT_MSG_DELTABLE, 0, table),
	})
	if err != nil {
		return fmt.Errorf("delete table: %w", classify(err))
	}
	return nil
}
