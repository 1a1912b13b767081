// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// batchSize is the number of requests in one system call. Even if each of them fails,
// their answers fit into the socket's buffer.
const batchSize = 100

// writer sends steps in batches and updates have by what the kernel acknowledges.
type writer struct {
	k      *Keeper
	r      *overlay.Report
	extra  bool // the steps concern entries that are not in have
	steps  []overlay.Step
	repair []bool
	errs   int
	lost   error // the outcome of a batch is not known
	// blocked are the destinations of routes that another program's keep out.
	blocked map[netip.Prefix]struct{}
}

var errNoDevice = errors.New("its device is missing")

func (w *writer) add(s overlay.Step, repair bool) {
	if _, there := w.k.index[s.Device]; !there && s.Kind != overlay.Rule && (s.Op != overlay.Remove || s.Kind != overlay.Route) {
		if s.Op == overlay.Remove {
			delete(w.k.have, s.Key()) // The kernel removed it with its device.
		} else {
			w.refuse(&s, errNoDevice)
		}
		return
	}
	if w.k.cfg.TakeOver && s.Kind == overlay.Route && s.Op == overlay.Add {
		s.Op = overlay.Replace // Another device may have a route to the same pods.
	}
	w.steps, w.repair = append(w.steps, s), append(w.repair, repair)
}

// maxErrors bounds the errors that a report names one by one.
const maxErrors = 10

func (w *writer) flush(ctx context.Context) {
	for from := 0; from < len(w.steps) && w.lost == nil; from += w.k.batch {
		if ctx.Err() != nil {
			w.lost = context.Cause(ctx)
			break
		}
		w.batch(from, min(from+w.k.batch, len(w.steps)))
	}
	if w.errs > maxErrors {
		w.r.Err = errors.Join(w.r.Err, fmt.Errorf("%d more entries were not written", w.errs-maxErrors))
	}
	if w.lost != nil {
		w.k.mustLoad = true
		w.r.Err = errors.Join(w.r.Err, fmt.Errorf("write entries: %w", w.lost))
	}
}

func (w *writer) batch(from, to int) {
	var refused [batchSize]error
	steps := w.steps[from:to]
	err := w.k.sock.Write(steps, func(s *overlay.Step) (int32, uint8) {
		protocol := w.k.cfg.Protocol
		if s.Op == overlay.Remove && s.Odd && (w.k.cfg.TakeOver || kernel.LinkLocal4(s.Dst)) {
			protocol = 0 // any
		}
		return w.k.index[s.Device], protocol
	}, func(i int, err error) { refused[i] = err })
	if err != nil {
		w.lost = w.k.reconnect(err)
		return
	}
	for i := range steps {
		w.settle(&steps[i], refused[i], w.repair[from+i])
	}
}

func (w *writer) settle(s *overlay.Step, err error, repair bool) {
	if err != nil && (s.Op != overlay.Remove || !kernel.Gone(err)) {
		w.refuse(s, err)
		return
	}
	w.r.Written++
	if repair {
		w.r.Repaired++
	}
	switch {
	case w.extra:
	case s.Op == overlay.Remove:
		delete(w.k.have, s.Key())
	default:
		w.k.have.Put(s.Entry)
	}
}

func (w *writer) refuse(s *overlay.Step, err error) {
	if s.Kind == overlay.Route && s.Op == overlay.Add && errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("another program has a route to it: %w", err)
		if w.blocked == nil {
			w.blocked = map[netip.Prefix]struct{}{}
		}
		w.blocked[s.Dst] = struct{}{}
	}
	verb := [...]string{overlay.Add: "add", overlay.Replace: "change", overlay.Remove: "delete"}[s.Op]
	w.r.Problems = append(w.r.Problems, overlay.Problem{Field: s.Entry.String(), Text: verb + ": " + err.Error()})
	if w.errs++; w.errs <= maxErrors {
		w.r.Err = errors.Join(w.r.Err, fmt.Errorf("%s %s: %w", verb, s.Entry, err))
	}
}
