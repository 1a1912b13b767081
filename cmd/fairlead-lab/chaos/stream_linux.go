// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// open makes the connection of a stream, or returns nil. The kernel sends the first packet
// again until it is answered, and has to be answered once the damage is repaired.
func (r *runner) open(ctx context.Context, c *client) *lab.Conn {
	start := r.now()
	ctx, cancel := r.patient(ctx, start)
	defer cancel()
	conn, err := c.from.Open(ctx, c.to)
	took := r.now() - start
	if err != nil {
		if !r.mayRefuse(start, took) {
			r.fail("%s, opened at %.3fs: %v after %s", c.name, start.Seconds(), err, took.Round(time.Millisecond))
		}
		pauseFor(try / 10)
		return nil
	}
	r.answered(c, took, outageOf{from: start, to: start + took, stalled: took > patience, stream: true})
	return conn
}

// stream asks once over an established connection, and reports whether that goes on.
func (r *runner) stream(ctx context.Context, c *client, conn *lab.Conn) bool {
	start := r.now()
	ctx, cancel := r.patient(ctx, start)
	defer cancel()
	_, err := conn.Ask(ctx)
	took := r.now() - start
	if err != nil {
		if !r.resetPermitted(err, start, took) {
			r.fail("%s, established, from %s: %v after %s, permitted is %s; %s%s", c.name, conn.Source(), err,
				took.Round(time.Millisecond), r.silence(start, true).Round(time.Millisecond), conn.State(), r.flowsAt(ctx, conn.Source()))
		}
		return false
	}
	r.answered(c, took, outageOf{from: start, to: start + took, stalled: took > patience, stream: true})
	return true
}

// flowsAt lists what the kernel of each node knows about flows of a client's port, if the
// program conntrack is installed. Two of them with the same addresses of the reply keep each
// other out.
func (r *runner) flowsAt(ctx context.Context, source netip.AddrPort) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUp)
	defer cancel()
	family, port := "ipv4", fmt.Sprintf("port=%d ", source.Port())
	if source.Addr().Is6() {
		family = "ipv6"
	}
	var out strings.Builder
	for _, node := range r.Cluster.Nodes {
		text, _, err := world.Output(ctx, node.Host, "conntrack", "-L", "-f", family, "-p", "tcp")
		if err != nil {
			fmt.Fprintf(&out, "\n%s: %v", node.Name, err)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, port) {
				fmt.Fprintf(&out, "\n%s: %s", node.Name, strings.TrimSpace(line))
			}
		}
	}
	return out.String()
}

// silence returns for how long a stream that waits since a time may hear nothing.
func (r *runner) silence(since time.Duration, gone bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.SilentUntil(since, gone) - since
}

// patient returns a context for a stream that waits since a time. It ends when the stream
// has been silent for longer than giveUp beyond what is permitted.
func (r *runner) patient(ctx context.Context, since time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	go lab.Every(ctx, giveUp/100, func(context.Context) {
		if r.fair(since)-since-giveUp > r.silence(since, true) {
			cancel()
		}
	})
	return ctx, cancel
}

// fair returns the present time as on a machine that was not busy since another.
func (r *runner) fair(since time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.Fair(since, r.now())
}

// mayRefuse reports whether the connection of a stream may fail to open, some time after it
// began to.
func (r *runner) mayRefuse(start, took time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.history.Fair(start, start+took)
	return end-patience <= r.history.SilentUntil(start, false) && (r.history.Covered(start, start) || r.history.Covered(end, end))
}

// resetPermitted reports whether an established connection that was idle or stalled for
// some time may have been reset, and counts it.
func (r *runner) resetPermitted(err error, start, took time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, since, ok := r.history.Cause(start + took)
	late := r.history.Fair(start, start+took)-patience > r.history.SilentUntil(start, true)
	if !ok || late || !errors.Is(err, lab.ErrReset) || !r.history.MayReset(start, start+took) {
		return false
	}
	r.tally.delayed(kind, outage{resets: 1, longest: r.now() - since})
	return true
}

// busy is from when on a connection over a loopback device has waited for the machine.
const busy = 100 * time.Millisecond

// control makes a connection that no event and no agent can disturb, and notes when the
// machine did not get around to it, while that lasts.
func (r *runner) control(ctx context.Context) {
	last := r.now()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := r.Client.Dial(ctx, inet.Addr{IP: r.Client.Addr4, Port: world.WebPort, Proto: inet.TCP})
		done <- err
	}()
	tick := time.NewTicker(busy)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				r.fail("control: %v", err)
			}
			return
		case <-tick.C:
			last = r.wasBusy(last)
		}
	}
}

// wasBusy notes that the machine was busy since a time, and returns the present one.
func (r *runner) wasBusy(since time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.history.Busy(since, now)
	r.tally.busy += now - since
	return now
}
