// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/overlay"
)

// pass makes the kernel as planned. With look it reads the kernel first. Without look
// it relies on have, so that only changes cost anything.
func (k *Keeper) pass(ctx context.Context, in input, look bool) (r overlay.Report) {
	defer func() { r.Ready, r.Version = k.ready, in.version }()
	underlay := [2]netip.Addr{in.self.Address(inet.IPv4), in.self.Address(inet.IPv6)}
	if look {
		if err := k.look(underlay); err != nil {
			r.Err = k.reconnect(err)
			k.plan = nil // It does not know what this pass was for.
			return r
		}
	}
	if !look && (k.seen == nil || k.have == nil || underlay != k.underlay) {
		return k.pass(ctx, in, true)
	}
	p, updated := k.plan, false
	if p != nil && in.changed != nil {
		updated = p.Change(&in.self, in.changed.came, in.changed.gone)
	} else if p != nil {
		updated = p.Update(&in.self, in.peers)
	}
	if !updated {
		if in.changed != nil {
			in = k.whole()
		}
		p = overlay.NewPlanner(k.cfg, k.seen.Net, in.self, in.peers)
	}
	if !look && !p.Waits && !slices.Equal(p.Devices, k.devices) {
		return k.pass(ctx, in, true)
	}
	k.version, k.plan = in.version, nil
	r.Describe(&p.Plan)
	r.Problems = slices.Clone(p.Problems())
	if !p.Waits {
		k.carryOut(ctx, p, in.peers, look, updated, &r)
	}
	return r
}

// carryOut writes the difference between the plan and the kernel. After an update of
// the plan it compares only what that touched.
func (k *Keeper) carryOut(ctx context.Context, p *overlay.Planner, peers []overlay.Node, look, updated bool, r *overlay.Report) {
	want, before := p.Entries, k.have
	if look {
		r.Resynced = true
		if want = k.reread(ctx, &p.Plan, r); want == nil {
			return
		}
	}
	var steps []overlay.Step
	if updated {
		steps = p.Diff(k.have)
	} else {
		p.Remember(peers)
		steps = overlay.Diff(k.have, want)
	}
	w := writer{k: k, r: r}
	for _, s := range steps {
		w.add(s, look && before != nil && repairs(&s, before))
	}
	w.flush(ctx)
	r.Missing = max(len(p.Devices)-len(k.devices), 0)
	k.await(w.blocked, len(k.devices) < len(p.Devices))
	k.ready = k.ready || len(k.devices) == len(p.Devices) && w.lost == nil && ctx.Err() == nil
	switch {
	case !k.seen.Net.Equal(p.Underlay()): // It changed while devices were made.
		k.mustLoad = true
		k.inbox.Wake()
	case r.Err == nil: // After an error the next pass compares everything.
		k.plan = p
	}
}

// await makes the events matter after which the next pass may write what this one could not.
func (k *Keeper) await(blocked map[netip.Prefix]struct{}, noDevice bool) {
	if maps.Equal(blocked, k.blocked) && noDevice == k.noDevice {
		return
	}
	k.blocked, k.noDevice = blocked, noDevice
	k.setInterest()
}

// reread makes the devices as planned and sets have to what the kernel holds. It
// returns the planned entries whose devices are there, or nil if the kernel could not
// be read.
func (k *Keeper) reread(ctx context.Context, plan *overlay.Plan, r *overlay.Report) overlay.Entries {
	k.fixDevices(plan.Devices, r)
	l, err := k.sock.Load(&k.cfg, k.owned, func(i int32) string { return k.names[i] })
	if err != nil {
		r.Err = errors.Join(r.Err, k.reconnect(err))
		k.have = nil
		return nil
	}
	k.have, k.mustLoad = l.Entries, false
	w := writer{k: k, r: r, extra: true}
	for _, f := range l.Extras {
		w.add(overlay.Step{Op: overlay.Remove, Entry: f.Entry}, true)
	}
	w.flush(ctx)
	if len(k.devices) == len(plan.Devices) {
		return plan.Entries
	}
	want := maps.Clone(plan.Entries)
	maps.DeleteFunc(want, func(_ overlay.Key, e overlay.Entry) bool {
		return (e.Device == k.cfg.Device4 || e.Device == k.cfg.Device6) && k.device(e.Device) == nil
	})
	return want
}

// deviceTries bounds how often a device is read again after it was changed. One change
// may undo another: a device whose MTU falls below that of IPv6 forgets its mode of
// address generation.
const deviceTries = 3

// fixDevices makes the devices as planned and lists those that are in k.devices.
func (k *Keeper) fixDevices(want []overlay.Device, r *overlay.Report) {
	before := k.devices
	for range deviceTries {
		k.devices = nil
		wrote := k.dropDevices(want, r)
		for _, d := range want {
			changed, err := k.sock.Ensure(k.ns, d, k.seen.Link(d.Name))
			wrote = wrote || changed
			if changed || err != nil {
				count(r, err, slices.Contains(before, d), "device "+d.Name)
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

// dropDevices deletes the overlay's devices that are not planned.
func (k *Keeper) dropDevices(want []overlay.Device, r *overlay.Report) (wrote bool) {
	for i := range k.seen.Links {
		l := &k.seen.Links[i]
		if k.ours(l) && !slices.ContainsFunc(want, func(d overlay.Device) bool { return d.Name == l.Name }) {
			wrote = true
			count(r, k.sock.DeleteLink(l), false, "device "+l.Name)
		}
	}
	return wrote
}

// count adds the outcome of one write to a report.
func count(r *overlay.Report, err error, repair bool, object string) {
	if err != nil {
		r.Err = errors.Join(r.Err, err)
		r.Problems = append(r.Problems, overlay.Problem{Field: object, Text: err.Error()})
		return
	}
	r.Written++
	if repair {
		r.Repaired++
	}
}

// repairs reports whether s restores what the kernel acknowledged before.
func repairs(s *overlay.Step, before overlay.Entries) bool {
	old, existed := before[s.Key()]
	if s.Op == overlay.Remove {
		return !existed
	}
	return existed && old == s.Entry
}

// reconnect replaces a connection after an error that leaves its outcome unknown. It
// returns that error.
func (k *Keeper) reconnect(err error) error {
	s, again := k.dial(k.ns)
	if again != nil {
		return errors.Join(err, again)
	}
	s.Before = k.sock.Before
	_ = k.sock.Close()
	k.sock = s
	return err
}
