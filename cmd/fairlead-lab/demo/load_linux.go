// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// load makes connections all the time, from several clients at once, and keeps
// the score.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu sync.Mutex
	score
}

// score is the outcome of many connections.
type score struct {
	total    int
	by       map[string]int // connections per server
	failures []string       // what went wrong, in order
	slowest  time.Duration
}

// startLoad dials every address of web, from every kind of client, until stop.
func (d *demo) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, score: score{by: map[string]int{}}}
	first, last := d.Cluster.Nodes[0], d.Cluster.Nodes[len(d.Cluster.Nodes)-1]
	for _, vip := range d.Web.ClusterIPs {
		l.add(ctx, d.Client.Host, d.Web.At(vip))
		l.add(ctx, last.Host, d.Web.At(vip))
		l.add(ctx, d.Cluster.Outside, d.nodePort(first, vip))
	}
	return l
}

// add starts one client. A connection under way is finished after the end.
func (l *load) add(ctx context.Context, from *lab.Host, at inet.Addr) {
	const interval = 4 * time.Millisecond
	l.done.Go(func() {
		lab.Every(ctx, interval, func(ctx context.Context) {
			start := time.Now()
			reply, err := from.Dial(ctx, at)
			l.note(from, reply, err, time.Since(start))
		})
	})
}

func (l *load) note(from *lab.Host, reply lab.Reply, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s: %v", from.Name, err))
		return
	}
	l.by[reply.Server]++
}

// so returns the score up to now.
func (l *load) so() score {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.score
	s.by = maps.Clone(l.by)
	return s
}

// stop ends the load and returns the score. A second stop does nothing.
func (l *load) stop() score {
	l.cancel()
	l.done.Wait()
	return l.so()
}

// judge checks that no connection failed.
func (d *demo) judge(s score, when string) {
	d.check(s.total > 0 && len(s.failures) == 0, "%d connections %s, %d failed; the slowest took %s", s.total, when, len(s.failures), milliseconds(s.slowest))
	const most = 5
	for _, f := range s.failures[:min(most, len(s.failures))] {
		d.say("      %s", f)
	}
}
