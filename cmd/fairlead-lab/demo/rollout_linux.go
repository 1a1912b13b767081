// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
)

// stepRollout replaces every pod while clients keep connecting, in the order in
// which Kubernetes does: the new pod becomes ready, then the old one terminating;
// once that is drained it leaves the slice and ends.
func stepRollout(ctx context.Context, d *demo) error {
	l := d.startLoad(ctx)
	defer l.stop()
	held, err := d.Client.Open(ctx, d.Web.At(d.Web.ClusterIPs[0]))
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	holder := held.Reply.Server
	d.say("client keeps one connection open; %s has it. %d other clients connect all the time.", holder, 3*len(d.Web.ClusterIPs))

	old := slices.Clone(d.Web.Endpoints)
	for _, e := range old {
		if err := d.replace(ctx, e, func() error {
			if e.Pod.Name != holder {
				return nil
			}
			_, err := held.Ask(ctx)
			d.check(err == nil && held.Reply.Server == holder, "the open connection is still answered by %s, which is terminating", holder)
			return held.Close()
		}); err != nil {
			return err
		}
	}
	d.judge(l.stop(), fmt.Sprintf("while %d pods were replaced", len(old)))
	d.checkGone(ctx, old)
	return nil
}

// replace puts a new pod into the place of old. drain is called when old gets no
// new connections any more.
func (d *demo) replace(ctx context.Context, old world.Endpoint, drain func() error) error {
	return d.replaceOn(ctx, nil, old, drain)
}

// replaceOn does the same with the new pod on a node of choice.
func (d *demo) replaceOn(ctx context.Context, node *lab.Node, old world.Endpoint, drain func() error) error {
	e, err := d.newPodOn(node)
	if err != nil {
		return err
	}
	d.Web.Endpoints = append(d.Web.Endpoints, e)
	if err := d.Write(d.Web); err != nil {
		return err
	}
	if err := busy(ctx, e); err != nil {
		return err
	}
	i := slices.IndexFunc(d.Web.Endpoints, func(e world.Endpoint) bool { return e.Pod == old.Pod })
	d.Web.Endpoints[i].Terminating = true
	if err := d.Write(d.Web); err != nil {
		return err
	}
	start := time.Now()
	if err := quiet(ctx, old); err != nil {
		return err
	}
	if err := drain(); err != nil {
		return err
	}
	if err := drained(ctx, old); err != nil {
		return err
	}
	d.Web.Endpoints = slices.Delete(d.Web.Endpoints, i, i+1)
	if err := d.Write(d.Web); err != nil {
		return err
	}
	d.say("%-7s ready, %-7s terminating, drained after %s, gone; it had answered %d connections", e.Pod.Name, old.Pod.Name, since(start), old.Server.Accepted())
	return old.Pod.Close()
}

// busy waits until a new pod has had its share of the load for about a second,
// as minReadySeconds: 1 does.
func busy(ctx context.Context, e world.Endpoint) error {
	const share = 200
	return world.Poll(ctx, 10*time.Second, func() bool { return e.Server.Accepted() >= share }, "%s gets no connections", e.Pod.Name)
}

// quiet waits until a pod has got no new connection for a while. Under this load
// every pod in use gets dozens in that time.
func quiet(ctx context.Context, e world.Endpoint) error {
	const silence, patience = 300 * time.Millisecond, 10 * time.Second
	last, changed := e.Server.Accepted(), time.Now()
	return world.Poll(ctx, patience, func() bool {
		if n := e.Server.Accepted(); n != last {
			last, changed = n, time.Now()
		}
		return time.Since(changed) >= silence
	}, "%s still gets connections", e.Pod.Name)
}

// drained waits until the last connection of a pod is closed.
func drained(ctx context.Context, e world.Endpoint) error {
	return world.Poll(ctx, 10*time.Second, func() bool { return e.Server.Open() == 0 }, "%s still has open connections", e.Pod.Name)
}

// checkGone makes sure that no connection is sent to a pod that left.
func (d *demo) checkGone(ctx context.Context, old []world.Endpoint) {
	const connections = 200
	counts, err := d.count(ctx, d.Client.Host, connections)
	for _, e := range old {
		if err == nil && counts[e.Pod.Name] > 0 {
			err = fmt.Errorf("%s answered", e.Pod.Name)
		}
	}
	if err != nil {
		d.check(false, "connections after the update: %v", err)
		return
	}
	d.check(len(counts) == len(d.Web.Endpoints), "%d connections after it are answered by the %d new pods alone", connections, len(counts))
}
