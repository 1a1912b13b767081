// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
)

// Patience is how long Dial and Ask wait when their context has no deadline.
const Patience = 2 * time.Second

// Conn is an open TCP connection, or a UDP or SCTP socket with one port of its
// own, to one address. It is not safe for concurrent use.
type Conn struct {
	// Reply is the latest answer.
	Reply Reply

	to   inet.Addr
	conn net.Conn
	in   *bufio.Reader // TCP only
	init sctpInit      // SCTP only
}

// Dial makes a new connection from inside ns with a new port, closes it again, and
// returns the server's reply.
func Dial(ctx context.Context, ns *netns.NS, to inet.Addr) (Reply, error) {
	c, err := Open(ctx, ns, netip.Addr{}, to)
	if err != nil {
		return Reply{}, err
	}
	return c.Reply, c.Close()
}

// Dial is the function Dial from inside the host.
func (h *Host) Dial(ctx context.Context, to inet.Addr) (Reply, error) { return Dial(ctx, h.NS, to) }

// Try is Dial and Outcome in one.
func (h *Host) Try(ctx context.Context, to inet.Addr) string { return Outcome(h.Dial(ctx, to)) }

// Open makes a connection that stays open, and waits for the first reply. The
// kernel chooses the source address unless from is valid.
func Open(ctx context.Context, ns *netns.NS, from netip.Addr, to inet.Addr) (*Conn, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	c, err := open(ctx, ns, from, to)
	if err != nil {
		return nil, err
	}
	if err := c.exchange(ctx, to.Proto == inet.TCP); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// open is Open without the first reply.
func open(ctx context.Context, ns *netns.NS, from netip.Addr, to inet.Addr) (*Conn, error) {
	c := &Conn{to: to}
	err := ns.Do(func() (err error) {
		c.conn, err = connect(ctx, from, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, classify(err))
	}
	switch to.Proto {
	case inet.TCP:
		c.in = bufio.NewReader(c.conn)
	case inet.SCTP:
		c.init = newInit(to.Port)
	}
	return c, nil
}

// Socket returns a UDP socket with a port of its own that has sent nothing yet.
func (h *Host) Socket(ctx context.Context, to inet.Addr) (*Conn, error) {
	return open(ctx, h.NS, netip.Addr{}, to)
}

// Open is the function Open from inside the host.
func (h *Host) Open(ctx context.Context, to inet.Addr) (*Conn, error) {
	return Open(ctx, h.NS, netip.Addr{}, to)
}

// Ask sends a request over the connection and waits for the reply. Over TCP the same
// server replies, over UDP the one that the flow leads to now.
func (c *Conn) Ask(ctx context.Context) (Reply, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	err := c.exchange(ctx, false)
	return c.Reply, err
}

// Source returns the client's own address.
func (c *Conn) Source() netip.AddrPort {
	switch a := c.conn.LocalAddr().(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	case *net.IPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		return unmap(netip.AddrPortFrom(ip, c.init.source))
	}
	return netip.AddrPort{}
}

// Lost returns how many packets of a TCP connection were sent again, the first one
// included, because no answer came. So a test need not know how long a packet takes to
// find out that one was dropped.
func (c *Conn) Lost() (int, error) {
	tcp, ok := c.conn.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("connection to %s has no socket", c.to)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("connection to %s: %w", c.to, err)
	}
	var info *unix.TCPInfo
	if ctl := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); ctl != nil {
		err = ctl
	}
	if err != nil {
		return 0, fmt.Errorf("read TCP_INFO of the connection to %s: %w", c.to, err)
	}
	return int(info.Total_retrans), nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close connection to %s: %w", c.to, err)
	}
	return nil
}

// exchange reads one reply, until ctx is done; greeted means that the server speaks first.
func (c *Conn) exchange(ctx context.Context, greeted bool) error {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := c.roundTrip(greeted)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.to, classify(err))
	}
	c.Reply, err = decodeReply(line)
	return err
}

func (c *Conn) roundTrip(greeted bool) (string, error) {
	if c.to.Proto == inet.SCTP {
		return c.init.roundTrip(c.conn.(*net.IPConn))
	}
	if !greeted {
		if _, err := io.WriteString(c.conn, "?\n"); err != nil {
			return "", err
		}
	}
	if c.in != nil {
		line, err := c.in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = errEOF
		}
		return line, err
	}
	buf := make([]byte, 512)
	n, err := c.conn.Read(buf)
	return string(buf[:n]), err
}

// patient gives ctx a deadline if it has none.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, Patience)
}
