// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"fairlead/internal/netns"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// TestEcho makes sure that the kernel's notifications of what a Keeper wrote do not make it read
// the kernel, however late they come. Those of a first pass may be more than the socket has room
// for, and cost a few readings.
func TestEcho(t *testing.T) {
	h := newHost(t)
	var m marks
	k := startWith(t, h.ns, Options{Resync: time.Hour}, func(k *Keeper) { k.events = m.watch })
	peers := nodes(2, 1000)
	k.sync(t, node(1), peers...)
	k.heard(t, h, &m, node(1), peers)
	first := k.all()
	if w, repaired, read := total(first); w != 4+999*6 || repaired != 0 || read > 4 {
		t.Errorf("wrote %d, repaired %d, read the kernel %d times", w, repaired, read)
	}
	moved := slices.Clone(peers)
	moved[500].Underlay = node(2000).Underlay
	if r := k.sync(t, node(1), moved...); r.Written != 2 || r.Resynced {
		t.Errorf("one node moved: wrote %d, read the kernel: %v", r.Written, r.Resynced)
	}
	k.heard(t, h, &m, node(1), moved)
	if w, repaired, read := total(k.all()[len(first):]); w != 2 || repaired != 0 || read != 0 {
		t.Errorf("one node moved: wrote %d, repaired %d, read the kernel %d times", w, repaired, read)
	}
	h.becomes(t, overlay.Config{}, k.want())
}

// all returns the reports of all passes.
func (k *keeper) all() []overlay.Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.reports)
}

// total adds what reports say, and counts the passes that read the kernel.
func total(reports []overlay.Report) (written, repaired, read int) {
	for i := range reports {
		written += reports[i].Written
		repaired += reports[i].Repaired
		if reports[i].Resynced {
			read++
		}
	}
	return written, repaired, read
}

// marks stands between the notifications and the Keeper. A mark is a change of the uplink that
// the Keeper ignores: when it comes, so have all notifications of earlier changes.
type marks struct {
	made  int64
	heard atomic.Int64
}

func (m *marks) watch(ctx context.Context, ns *netns.NS, matters func() *kernel.Interest, noted func([]kernel.Event), lost func()) error {
	return kernel.Watch(ctx, ns, matters, func(events []kernel.Event) {
		noted(events)
		for i := range events {
			if l := events[i].Link; l != nil && l.Name == uplink {
				if n, err := strconv.ParseInt(l.Alias, 10, 64); err == nil {
					m.heard.Store(n)
				}
			}
		}
	}, lost)
}

// wait makes marks until one comes: those that meet a full socket are lost.
func (m *marks) wait(t testing.TB, h *host) {
	t.Helper()
	before := m.made
	eventually(t, "a mark", func() error {
		m.made++
		h.must(t, h.links.LinkSetAlias(h.link(t, uplink), strconv.FormatInt(m.made, 10)))
		if n := m.heard.Load(); n <= before {
			return fmt.Errorf("mark %d, want one after %d", n, before)
		}
		return nil
	})
}

// heard waits until the Keeper has done what the notifications of earlier changes asked for. It
// calls Set, which changes nothing: one pass later the Keeper knows all notifications, and
// restRead later no reading of the kernel waits any more.
func (k *keeper) heard(t testing.TB, h *host, m *marks, self overlay.Node, peers []overlay.Node) {
	t.Helper()
	for range 10 {
		m.wait(t, h)
		k.sync(t, self, peers...)
		<-time.After(restRead)
		if r := k.sync(t, self, peers...); !r.Resynced {
			return
		}
	}
	t.Fatal("the Keeper reads the kernel again and again")
}
