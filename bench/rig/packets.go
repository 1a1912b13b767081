// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/lab"
)

// sinkPort is a UDP port that nobody reads from: packets end in a full socket.
const sinkPort = 8082

// Sink opens sinkPort on a host until the process ends.
func Sink(h *lab.Host) error {
	return h.NS.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0), // the kernel gives the least that it has
			unix.Bind(fd, &unix.SockaddrInet4{Port: sinkPort}),
		)
	})
}

// SinkAddr is where the packets of Packets go.
func (s *Seat) SinkAddr() netip.AddrPort { return netip.AddrPortFrom(s.Left.Addr4, sinkPort) }

// Packets sends n datagrams of one flow and returns how long one took, on its whole way
// to a socket: the sender's system call carries them through the node.
func Packets(to netip.AddrPort, n int, source uint16) (time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := errors.Join(
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(source)}),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	); err != nil {
		return 0, fmt.Errorf("connect to %s: %w", to, err)
	}
	buf := make([]byte, 32)
	send := func(n int) error {
		for range n {
			if _, err := unix.Write(fd, buf); err != nil {
				return os.NewSyscallError("write", err)
			}
		}
		return nil
	}
	if err := send(100); err != nil { // routes, neighbours and the entry of the flow
		return 0, err
	}
	start := time.Now()
	err = send(n)
	return time.Since(start) / time.Duration(n), err
}

// Received returns how many UDP packets have come to a host, those included for which
// there was no room.
func Received(h *lab.Host) (n int, err error) {
	var out []byte
	if err := h.NS.Do(func() (err error) { out, err = os.ReadFile("/proc/thread-self/net/snmp"); return err }); err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "InDatagrams" || name == "RcvbufErrors" {
				var v int
				if _, err := fmt.Sscan(fields[i], &v); err != nil {
					return 0, fmt.Errorf("parse %s of /proc/net/snmp: %w", name, err)
				}
				n += v
			}
		}
	}
	return n, nil
}

// Ruleset is a table as nft lists it.
type Ruleset string

// List returns a table of the node.
func (s *Seat) List(family, table string) (Ruleset, error) {
	out, err := s.Nft("list", "table", family, table)
	return Ruleset(out), err
}

// Load replaces the whole ruleset of the node. An empty one leaves no rule.
func (s *Seat) Load(rules Ruleset) error {
	return s.Node.NS.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader("flush ruleset\n" + string(rules))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("load rules on %s: %w: %s", s.Node.Name, err, out)
		}
		return nil
	})
}

// BaseChains are the names of the chains that packets enter from a hook, in the order of
// the listing.
func (r Ruleset) BaseChains() (out []string) {
	for name, body := range r.chains() {
		if strings.Contains(body, " hook ") {
			out = append(out, name)
		}
	}
	return out
}

// Without is the table without a chain.
func (r Ruleset) Without(chain string) Ruleset {
	for name, body := range r.chains() {
		if name == chain {
			return Ruleset(strings.Replace(string(r), body, "", 1))
		}
	}
	return r
}

// chains passes each chain with its text.
func (r Ruleset) chains() func(yield func(name, body string) bool) {
	return func(yield func(name, body string) bool) {
		rest := string(r)
		for {
			at := strings.Index(rest, "\tchain ")
			if at < 0 {
				return
			}
			rest = rest[at:]
			end := strings.Index(rest, "\n\t}\n")
			if end < 0 {
				return
			}
			body := rest[:end+len("\n\t}\n")]
			rest = rest[len(body):]
			if !yield(strings.Fields(body)[1], body) {
				return
			}
		}
	}
}
