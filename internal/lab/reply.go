// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reply is a server's answer to one connection or request.
type Reply struct {
	Server string         // its name
	Source netip.AddrPort // where it saw the client
}

// String returns, for example, "web-1 saw 10.244.1.2": everything but the
// client's port, which is random.
func (r Reply) String() string { return r.Server + " saw " + r.Source.Addr().String() }

// These are the ways in which an answer fails to come. Errors of Dial and Ask wrap one
// of them.
var (
	ErrRefused     = errors.New("refused")     // a TCP reset, or ICMP port unreachable
	ErrTimeout     = errors.New("timeout")     // silence
	ErrUnreachable = errors.New("unreachable") // no route, or any other ICMP unreachable
	ErrReset       = errors.New("reset")       // an established connection that broke
)

// Outcome puts the results of Dial into one string for tables of tests: the reply, or
// the word of the error.
func Outcome(r Reply, err error) string {
	for _, word := range []error{ErrRefused, ErrTimeout, ErrUnreachable, ErrReset} {
		if errors.Is(err, word) {
			return word.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return r.String()
}

// classify wraps err into the word that it stands for, if any.
func classify(err error) error {
	var word error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ECONNREFUSED):
		word = ErrRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT), isTimeout(err):
		word = ErrTimeout
	case isAny(err, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENOPROTOOPT, unix.EPROTO, unix.EACCES, unix.EPERM):
		// ICMP "protocol unreachable" is ENOPROTOOPT in IPv4 and EPROTO in IPv6,
		// "administratively prohibited" is EHOSTUNREACH in IPv4 and EACCES in IPv6;
		// EPERM is a packet dropped on its way out.
		word = ErrUnreachable
	case isAny(err, unix.ECONNRESET, unix.EPIPE), errors.Is(err, errEOF):
		word = ErrReset
	default:
		return err
	}
	return fmt.Errorf("%w: %w", word, err)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func isAny(err error, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errEOF means that the server closed the connection before it sent anything.
var errEOF = errors.New("connection closed before the reply")

// encode is the reply on the wire: one line, or one datagram.
func (r Reply) encode() string { return r.Server + " " + r.Source.String() + "\n" }

func decodeReply(line string) (Reply, error) {
	name, source, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if !ok {
		return Reply{}, fmt.Errorf("parse reply %q: no source", line)
	}
	addr, err := netip.ParseAddrPort(source)
	if err != nil {
		return Reply{}, fmt.Errorf("parse reply %q: %w", line, err)
	}
	return Reply{Server: name, Source: addr}, nil
}
