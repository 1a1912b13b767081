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

// Dial makes a new connection with a new port, closes it again, and returns the server's
// reply.
func (h *Host) Dial(ctx context.Context, to inet.Addr) (Reply, error) {
	c, err := h.Open(ctx, to)
	if err != nil {
		return Reply{}, err
	}
	return c.Reply, c.Close()
}

// Try is Dial and Outcome in one.
func (h *Host) Try(ctx context.Context, to inet.Addr) string { return Outcome(h.Dial(ctx, to)) }

// Open makes a connection that stays open, and waits for the first reply.
func (h *Host) Open(ctx context.Context, to inet.Addr) (*Conn, error) {
	return h.OpenFrom(ctx, netip.Addr{}, to)
}

// OpenFrom is Open from one address of the host. The kernel chooses the address if from is
// invalid.
func (h *Host) OpenFrom(ctx context.Context, from netip.Addr, to inet.Addr) (*Conn, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	c, err := h.socket(ctx, from, to)
	if err != nil {
		return nil, err
	}
	if _, err := c.Greeting(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Socket returns a UDP socket with a port of its own that has sent nothing yet, or a TCP
// connection whose server has not spoken yet, for which Greeting waits.
func (h *Host) Socket(ctx context.Context, to inet.Addr) (*Conn, error) {
	return h.socket(ctx, netip.Addr{}, to)
}

// socket is OpenFrom without the first reply.
func (h *Host) socket(ctx context.Context, from netip.Addr, to inet.Addr) (*Conn, error) {
	c := &Conn{to: to}
	err := h.NS.Do(func() (err error) {
		c.conn, err = connect(ctx, h, from, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, classify(err))
	}
	switch to.Proto {
	case inet.TCP:
		c.in = bufio.NewReader(c.conn)
	case inet.SCTP:
		c.init = newInit(h.nextPort(), to.Port)
	}
	return c, nil
}

// Ask sends a request over the connection and waits for the reply. Over TCP the same
// server replies, over UDP the one that the flow leads to now.
func (c *Conn) Ask(ctx context.Context) (Reply, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	err := c.exchange(ctx, false)
	return c.Reply, err
}

// Greeting waits for the first words of a TCP server, once, or asks over another protocol.
func (c *Conn) Greeting(ctx context.Context) (Reply, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	err := c.exchange(ctx, c.to.Proto == inet.TCP)
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
	info, err := c.info()
	if err != nil {
		return 0, err
	}
	return int(info.Total_retrans), nil
}

// State says what a TCP connection waits for, for a report about one that fell silent.
func (c *Conn) State() string {
	info, err := c.info()
	if err != nil {
		return err.Error()
	}
	ago := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
	return fmt.Sprintf("%d packets were sent again; %d wait for an acknowledgement, after %d timeouts of now %s; sent %s ago, data received %s ago, acknowledged %s ago",
		info.Total_retrans, info.Unacked, info.Backoff, time.Duration(info.Rto)*time.Microsecond, ago(info.Last_data_sent), ago(info.Last_data_recv), ago(info.Last_ack_recv))
}

// info reads what the kernel knows about a TCP connection.
func (c *Conn) info() (info *unix.TCPInfo, err error) {
	tcp, ok := c.conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("connection to %s has no socket", c.to)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", c.to, err)
	}
	if ctl := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); ctl != nil {
		err = ctl
	}
	if err != nil {
		return nil, fmt.Errorf("read TCP_INFO of the connection to %s: %w", c.to, err)
	}
	return info, nil
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
