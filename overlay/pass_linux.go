// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// pass leads the kernel to what is wanted. Without look it believes have, and
// so costs nothing for what did not change; with look it reads the kernel.
func (k *Keeper) pass(ctx context.Context, in input, look bool) (r Report) {
	defer func() { r.Ready, r.version = k.ready, in.version }()
	underlay := [2]netip.Addr{in.self.underlay(inet.IPv4), in.self.underlay(inet.IPv6)}
	if look {
		if err := k.look(underlay); err != nil {
			r.Err = k.reconnect(err)
			return r
		}
	}
	if !look && (k.seen == nil || k.have == nil || underlay != k.underlay) {
		return k.pass(ctx, in, true)
	}
	p, updated := k.plan, false
	if p != nil {
		updated = p.update(&in.self, in.peers)
	}
	if !updated {
		p = newPlanner(k.cfg, k.seen.net, in.self, in.peers)
	}
	if !look && !p.Waits && !slices.Equal(p.Devices, k.devices) {
		return k.pass(ctx, in, true)
	}
	k.version, k.plan = in.version, nil
	r.describe(&p.Plan)
	r.Problems = slices.Clone(p.problems)
	if !p.Waits {
		k.carryOut(ctx, p, in.peers, look, updated, &r)
	}
	return r
}

// carryOut makes the kernel as planned: all of it, or what the last update of
// the plan changed.
func (k *Keeper) carryOut(ctx context.Context, p *planner, peers []Node, look, updated bool, r *Report) {
	want, before := p.Entries, k.have
	if look {
		r.Resynced = true
		if want = k.reread(ctx, &p.Plan, r); want == nil {
			return
		}
	}
	var steps []Step
	if updated {
		steps = p.diff(k.have)
	} else {
		p.remember(peers)
		steps = Diff(k.have, want)
	}
	w := writer{k: k, r: r}
	for _, s := range steps {
		w.add(s, look && before != nil && repairs(&s, before))
	}
	w.flush(ctx)
	k.ready = k.ready || len(k.devices) == len(p.Devices) && w.lost == nil && ctx.Err() == nil
	switch {
	case !k.seen.net.equal(p.net): // it changed while devices were made
		k.distrust = true
		k.poke()
	case r.Err == nil: // else the next pass compares everything
		k.plan = p
	}
}

// reread makes the devices as planned, and have what the kernel holds. It
// returns the entries that can be written: those on devices that are there.
func (k *Keeper) reread(ctx context.Context, plan *Plan, r *Report) Entries {
	k.fixDevices(plan.Devices, r)
	l, err := load(k.sock, &k.cfg, k.owned, func(i int32) string { return k.names[i] })
	if err != nil {
		r.Err = errors.Join(r.Err, k.reconnect(err))
		k.have = nil
		return nil
	}
	k.have, k.distrust = l.Entries, false
	w := writer{k: k, r: r, extra: true}
	for _, f := range l.extras {
		w.add(Step{Remove, f.Entry}, true)
	}
	w.flush(ctx)
	if len(k.devices) == len(plan.Devices) {
		return plan.Entries
	}
	want := maps.Clone(plan.Entries)
	maps.DeleteFunc(want, func(_ Key, e Entry) bool {
		return (e.Device == k.cfg.Device4 || e.Device == k.cfg.Device6) && k.device(e.Device) == nil
	})
	return want
}

// deviceTries bounds how often a device is looked at again after it was changed:
// one whose MTU leaves the range of inet.IPv6, for instance, forgets how it comes by
// addresses.
const deviceTries = 3

// fixDevices leaves in k.devices those that are as planned.
func (k *Keeper) fixDevices(want []Device, r *Report) {
	before := k.devices
	for range deviceTries {
		k.devices = nil
		wrote := k.dropDevices(want, r)
		for _, d := range want {
			changed, err := d.ensure(k.sock, k.ns, k.seen.link(d.Name))
			wrote = wrote || changed
			if changed || err != nil {
				r.count(err, slices.Contains(before, d), "device "+d.Name)
			}
			if err == nil {
				k.devices = append(k.devices, d)
			}
		}
		if !wrote {
			return
		}
		err := k.look(k.underlay)
		if r.Err = errors.Join(r.Err, err); r.Err != nil {
			return
		}
	}
}

// dropDevices deletes devices of ours that are not wanted.
func (k *Keeper) dropDevices(want []Device, r *Report) (wrote bool) {
	for i := range k.seen.links {
		l := &k.seen.links[i]
		if k.ours(l) && !slices.ContainsFunc(want, func(d Device) bool { return d.Name == l.name }) {
			wrote = true
			r.count(deleteLink(k.sock, l), false, "device "+l.name)
		}
	}
	return wrote
}

// count notes the outcome of one write.
func (r *Report) count(err error, repair bool, object string) {
	if err != nil {
		r.Err = errors.Join(r.Err, err)
		r.Problems = append(r.Problems, Problem{Field: object, Text: err.Error()})
		return
	}
	r.Written++
	if repair {
		r.Repaired++
	}
}

// repairs reports whether s restores what had been acknowledged before.
func repairs(s *Step, before Entries) bool {
	old, existed := before[s.Key()]
	if s.Op == Remove {
		return !existed
	}
	return existed && old == s.Entry
}

// reconnect replaces a socket whose state is not known.
func (k *Keeper) reconnect(err error) error {
	s, again := dial(k.ns)
	if again != nil {
		return errors.Join(err, again)
	}
	s.before = k.sock.before
	_ = k.sock.close()
	k.sock = s
	return err
}

// batchSize is how many requests go out at once. Should each of them fail, the
// answers still fit into the socket's buffer.
const batchSize = 100

// writer sends steps in batches and moves have by what the kernel acknowledges.
type writer struct {
	k      *Keeper
	r      *Report
	extra  bool // steps are about entries that have does not hold
	steps  []Step
	repair []bool
	errs   int
	lost   error // nothing is known any more
}

var errNoDevice = errors.New("its device is not there")

func (w *writer) add(s Step, repair bool) {
	if _, there := w.k.index[s.Device]; !there && (s.Op != Remove || s.Kind != Route) {
		if s.Op == Remove {
			delete(w.k.have, s.Key()) // gone with its device
		} else {
			w.refuse(&s, errNoDevice)
		}
		return
	}
	if w.k.cfg.TakeOver && s.Kind == Route && s.Op == Add {
		s.Op = Replace // what led there so far, through a device that is not ours
	}
	w.steps, w.repair = append(w.steps, s), append(w.repair, repair)
}

// maxErrors is how many errors of a kind are told one by one.
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
		w.k.distrust = true
		w.r.Err = errors.Join(w.r.Err, fmt.Errorf("write entries: %w", w.lost))
	}
}

func (w *writer) batch(from, to int) {
	var refused [batchSize]error
	steps := w.steps[from:to]
	err := w.k.sock.write(func(r *nl.Messages) {
		for i := range steps {
			protocol := w.k.cfg.Protocol
			if w.k.cfg.TakeOver && steps[i].Op == Remove && steps[i].Odd {
				protocol = 0 // of any
			}
			steps[i].encode(r, w.k.index[steps[i].Device], protocol)
		}
	}, func(i int, err error) { refused[i] = err })
	if err != nil {
		w.lost = w.k.reconnect(err)
		return
	}
	for i := range steps {
		w.settle(&steps[i], refused[i], w.repair[from+i])
	}
}

func (w *writer) settle(s *Step, err error, repair bool) {
	if err != nil && !(s.Op == Remove && gone(err)) {
		w.refuse(s, err)
		return
	}
	w.r.Written++
	if repair {
		w.r.Repaired++
	}
	switch {
	case w.extra:
	case s.Op == Remove:
		delete(w.k.have, s.Key())
	default:
		w.k.have.put(s.Entry)
	}
}

func (w *writer) refuse(s *Step, err error) {
	if s.Kind == Route && s.Op == Add && errors.Is(err, unix.EEXIST) {
		err = fmt.Errorf("there is another route to it, which is not ours: %w", err)
	}
	verb := [...]string{Add: "add", Replace: "change", Remove: "delete"}[s.Op]
	w.r.Problems = append(w.r.Problems, Problem{Field: s.Entry.String(), Text: verb + ": " + err.Error()})
	if w.errs++; w.errs <= maxErrors {
		w.r.Err = errors.Join(w.r.Err, fmt.Errorf("%s %s: %w", verb, s.Entry, err))
	}
}

// gone reports whether an object was not there to be deleted.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENXIO)
}
