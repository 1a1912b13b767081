// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/cni"
	"fairlead/internal/leftovers"
)

// How often the node is looked at: while whom we replace still runs, and to see
// that what was removed stays away, a few times.
const (
	replaceWait  = 2 * time.Second
	replaceAgain = time.Minute
	replaceLooks = 3
)

// replacer removes what those leave whose place the agent takes, once its own
// data path is there: at no moment is there none. A packet that meets both is
// translated by whoever comes first, the same way.
type replacer struct {
	owners []leftovers.Owner
	opts   leftovers.Options
	ready  func() bool
	said   map[string]bool
}

// replaceable reads --replace. There cannot be two VXLAN devices with the same VNI
// and port, nor two routes to the same pods, so that an overlay of our own would
// never be ready beside flannel's.
func replaceable(names []string, network *networkFlags) ([]leftovers.Owner, error) {
	owners, err := leftovers.ParseOwners(names)
	switch {
	case err != nil:
	case slices.Contains(owners, leftovers.Fairlead):
		err = errors.New("fairlead does not replace itself")
	case slices.Contains(owners, leftovers.Flannel) && network.overlayMode != "" && !network.flannel:
		err = errors.New("flannel's devices and routes are in the way of --overlay; give --flannel-compat, which takes them over")
	}
	return owners, err
}

// newReplacer returns nil when nobody is to be replaced. Where pods' network is
// not ours, the files that it needs stay.
func (f *runFlags) newReplacer(ready func() bool) *replacer {
	if len(f.replaceOwners) == 0 {
		return nil
	}
	opts := leftoverOptions()
	opts.KeepBridge = f.network.cni.plugin == string(cni.Bridge)
	opts.CNIDir = f.network.cni.confDir
	if opts.CNIDir == "" {
		opts.SubnetFile = ""
	}
	return &replacer{owners: f.replaceOwners, opts: opts, said: map[string]bool{}, ready: func() bool {
		if !ready() {
			return false
		}
		if opts.CNIDir == "" {
			return true
		}
		_, err := os.Stat(filepath.Join(opts.CNIDir, cni.DefaultFile)) // or no pod would start meanwhile
		return err == nil
	}}
}

// run returns when nothing comes back any more.
func (r *replacer) run(ctx context.Context) error {
	if !await(ctx, r.ready) {
		return nil
	}
	for quiet := 0; quiet < replaceLooks; {
		wait := replaceAgain
		switch again := r.once(ctx); {
		case again:
			quiet, wait = 0, replaceWait
		case quiet == 0:
			quiet, wait = 1, replaceWait
		default:
			quiet++
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	return nil
}

// once removes what it can, and reports whether to come back soon.
func (r *replacer) once(ctx context.Context) (again bool) {
	log := klog.FromContext(ctx)
	var owners []leftovers.Owner
	for _, o := range r.owners {
		pids, err := leftovers.Running(o)
		if err != nil {
			r.say(ctx, err, "Looking for programs of those whose place is taken", "of", o)
		}
		if len(pids) > 0 {
			r.say(ctx, nil, "It still runs on this node, so that what it made stays", "of", o, "pids", pids)
			again = true
			continue
		}
		owners = append(owners, o)
	}
	state, err := leftovers.Look(nil, r.opts)
	if err != nil {
		r.say(ctx, err, "Looking for what others left")
		return true
	}
	plan := leftovers.NewPlan(r.opts, owners, state)
	err = leftovers.Apply(ctx, nil, plan, func(x *leftovers.Removal, err error) {
		if err == nil {
			log.Info("Removed what is left of another", "of", x.Owner, "object", x.String())
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		r.say(ctx, err, "Not everything that others left could be removed; trying again")
		again = true
	}
	for i := range plan.Left {
		r.say(ctx, nil, "Something of another is to be removed by hand", "of", plan.Left[i].Owner, "what", plan.Left[i].String())
	}
	return again
}

// say logs what was not said before.
func (r *replacer) say(ctx context.Context, err error, msg string, kv ...any) {
	key := fmt.Sprint(append([]any{err, msg}, kv...)...)
	if r.said[key] {
		return
	}
	r.said[key] = true
	if err != nil {
		klog.FromContext(ctx).Error(err, msg, kv...)
		return
	}
	klog.FromContext(ctx).Info(msg, kv...)
}
