// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"fairlead/internal/peercred"
)

// ownerName is an abstract Unix socket. The kernel keeps one name space of them for each
// network namespace, so all agents that would write one table meet there, whatever
// container they run in. The name is free as soon as its process ends, even by SIGKILL.
const ownerName = "@fairlead-agent"

// ownerRetry is the time between two attempts if the socket answers with an error.
const ownerRetry = 50 * time.Millisecond

// Owner is the right of one agent to write to the network namespace of the process. It
// ends with Close, or with the process.
type Owner struct {
	// listener accepts no connection: those that wait in its queue end with it. It is
	// nil if a program without privileges holds the name.
	listener *net.UnixListener
}

// Own waits until no other agent has the right to write, and takes it. It logs once
// which process it waits for. It returns ctx.Err() when ctx is done before.
//
// A program of another user could hold the name to keep every agent from working. Own
// reports such a program and goes on without the name.
func Own(ctx context.Context) (*Owner, error) {
	log := klog.FromContext(ctx)
	waited := false
	for {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ownerName, Net: "unix"})
		switch {
		case err == nil:
			if waited {
				log.Info("The other agent has ended, taking over")
			}
			return &Owner{listener: l}, nil
		case !errors.Is(err, unix.EADDRINUSE):
			return nil, fmt.Errorf("listen on %s: %w", ownerName, err)
		}
		trusted, err := awaitOwner(ctx, func(pid int32) {
			if !waited {
				log.Info("Another fairlead runs on this node, waiting until it ends", "pid", pid)
			}
			waited = true
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && !trusted {
			return &Owner{}, nil
		}
		if err != nil {
			log.V(2).Info("Failed to reach the other agent, retrying", "socket", ownerName, "err", err)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(ownerRetry):
			}
		}
	}
}

// awaitOwner calls found with the process that holds the name, 0 if it is in another
// PID namespace, and waits until that process ends. The kernel then closes the
// connection. trusted is false for a process of another user than root and that of this
// agent.
func awaitOwner(ctx context.Context, found func(pid int32)) (trusted bool, err error) {
	conn, peer, err := dialOwner(ctx)
	if conn == nil {
		return true, err // it ended meanwhile, or could not be asked
	}
	defer func() { _ = conn.Close() }()
	if !peercred.Trusted(peer) {
		klog.FromContext(ctx).Error(nil, "A program without privileges holds the socket that keeps two agents apart: stop it",
			"socket", ownerName, "pid", peer.Pid, "uid", peer.Uid)
		return false, nil
	}
	found(peer.Pid)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	// An owner sends nothing; an end or a reset of the connection ends the read.
	_, _ = conn.Read(make([]byte, 1))
	return true, nil
}

// FindOwner returns the process that has the right to write to the network namespace of
// the caller, 0 if it is in another PID namespace. It returns false without an agent. An
// error names a program without privileges that holds the socket of agents.
func FindOwner(ctx context.Context) (pid int32, found bool, err error) {
	conn, peer, err := dialOwner(ctx)
	if conn == nil {
		return 0, false, err
	}
	defer func() { _ = conn.Close() }()
	if !peercred.Trusted(peer) {
		return 0, false, fmt.Errorf("process %d of user %d, which has no privileges, holds the socket %s that keeps two agents apart: stop it", peer.Pid, peer.Uid, ownerName)
	}
	return peer.Pid, true, nil
}

// dialOwner connects to the process that holds the name and returns its credentials. The
// connection is nil if no process holds it, and after an error.
func dialOwner(ctx context.Context) (net.Conn, *unix.Ucred, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", ownerName)
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("connect to the running agent: %w", err)
	}
	peer, err := peercred.Of(conn)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, peer, nil
}

// Close gives the right up. An agent that waits takes over at once.
func (o *Owner) Close() error {
	if o.listener == nil {
		return nil
	}
	return o.listener.Close() //nolint:wrapcheck // it says what it closed
}
