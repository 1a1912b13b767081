// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/internal/worker"
)

// Fill says how full the kernel's table of flows is. The kernel drops the first
// packet of every new connection while it is full.
type Fill struct {
	Entries uint32
	Limit   uint32 // net.netfilter.nf_conntrack_max; 0 if the kernel does not say (before 4.18)
	// Dropped counts the packets that were dropped because the table had no room,
	// since the network namespace exists. It wraps around.
	Dropped uint32
}

// fillInterval is how often WatchFill looks.
const fillInterval = 10 * time.Second

// WatchFill reads the fill every 10 s until ctx is done, and returns nil then. It
// calls report with each result: the fill and what an operator should know, which
// is empty as long as there is room.
func WatchFill(ctx context.Context, ns *netns.NS, report func(f Fill, warning string, err error)) error {
	var w fillWatch
	var s *nl.Socket // stays open, see Cleaner.table; nil after a failure
	defer func() { _ = closeFill(s) }()
	return worker.Repeat(ctx, fillInterval, nil, func() {
		f, err := Fill{}, error(nil)
		if s == nil {
			s, err = dialFill(ns)
		}
		if err == nil {
			f, err = readFill(s)
		}
		if err != nil {
			_ = closeFill(s)
			s = nil
			report(Fill{}, "", err)
		} else {
			report(f, w.look(f), nil)
		}
	})
}

func dialFill(ns *netns.NS) (*nl.Socket, error) {
	return nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
}

func closeFill(s *nl.Socket) error {
	if s == nil {
		return nil
	}
	return s.Close()
}

// fillWatch decides when there is something to say. The zero value has seen
// nothing.
type fillWatch struct {
	seen     bool
	last     uint32 // Fill.Dropped
	dropping int    // looks for which drops are still worth a warning
	warned   bool
}

// Above warnAt percent an operator should act; below calmAt the warning ends.
// A warning about drops stays for as many looks as quietLooks.
const (
	warnAt     = 90
	calmAt     = 80
	quietLooks = 6
)

// look returns the warning that a fill deserves.
func (w *fillWatch) look(f Fill) string {
	dropped := f.Dropped - w.last
	if !w.seen {
		dropped = 0 // before this process
	}
	w.seen, w.last = true, f.Dropped
	if dropped > 0 {
		w.dropping = quietLooks
	} else {
		w.dropping = max(w.dropping-1, 0)
	}
	percent := uint64(0)
	if f.Limit > 0 {
		percent = 100 * uint64(f.Entries) / uint64(f.Limit)
	}
	w.warned = percent >= warnAt || w.warned && percent >= calmAt
	const remedy = "raise net.netfilter.nf_conntrack_max, for example with --conntrack-min or --conntrack-max-per-core"
	switch {
	case w.dropping > 0:
		return fmt.Sprintf("the connection tracking table had no room, so the kernel dropped packets of new connections within the last minute (limit %d entries); %s", f.Limit, remedy)
	case w.warned:
		return fmt.Sprintf("the connection tracking table is more than %d %% full, and new connections fail when it is full (limit %d entries); %s", calmAt, f.Limit, remedy)
	}
	return ""
}

// Messages and attributes of nfnetlink_conntrack.h.
const (
	msgGetStatsCPU = unix.NFNL_SUBSYS_CTNETLINK<<8 | 4 // IPCTNL_MSG_CT_GET_STATS_CPU
	msgGetStats    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 5 // IPCTNL_MSG_CT_GET_STATS

	attrGlobalEntries = 1  // CTA_STATS_GLOBAL_ENTRIES
	attrGlobalMax     = 2  // CTA_STATS_GLOBAL_MAX_ENTRIES
	attrCPUDrop       = 10 // CTA_STATS_DROP
)

// ReadFill reads the fill once. nil is the namespace of the process. ti-mo/conntrack (v0.6.0) asks for the first of these as
// a dump, whose end never comes.
func ReadFill(ns *netns.NS) (f Fill, err error) {
	s, err := dialFill(ns)
	if err != nil {
		return Fill{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return readFill(s)
}

func readFill(s *nl.Socket) (f Fill, err error) {
	var m nl.Messages
	m.Begin(msgGetStats, 0, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0)
	err = s.Get(&m, func(r nl.Reply) {
		body := r.Body[min(4, len(r.Body)):]
		f.Entries, f.Limit = nl.BE32(nl.Attr(body, attrGlobalEntries)), nl.BE32(nl.Attr(body, attrGlobalMax))
	})
	if err != nil {
		return Fill{}, fmt.Errorf("read the number of flows: %w", err)
	}
	m.Reset()
	m.Begin(msgGetStatsCPU, 0, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0)
	err = s.Dump(&m, func(r nl.Reply) {
		f.Dropped += nl.BE32(nl.Attr(r.Body[min(4, len(r.Body)):], attrCPUDrop))
	})
	if err != nil {
		return Fill{}, fmt.Errorf("read counters of connection tracking: %w", err)
	}
	return f, nil
}
