// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/cni"
	"fairlead/internal/leftovers"
	"fairlead/internal/worker"
)

// The node is checked every replaceWait while a replaced program still runs. After everything
// was removed it is checked until replaceWatch has passed, in waits that double.
const (
	replaceWait  = 2 * time.Second
	replaceWatch = 2 * time.Minute
)

// Replacer removes what replaced programs left, once fairlead's own data path is in
// place, so that the node always has one. Meanwhile a packet that meets both is
// translated by whichever comes first, with the same result.
type Replacer struct {
	owners []leftovers.Owner
	opts   leftovers.Options
	ready  func() bool
	logged map[string]bool
}

// NewReplacer returns nil if cfg replaces no program. The files of another CNI
// network stay unless cfg provides the CNI configuration.
func NewReplacer(cfg *Config, ready func() bool) *Replacer {
	if len(cfg.Replace) == 0 {
		return nil
	}
	opts := LeftoverOptions()
	opts.KeepBridge = cfg.CNI.Plugin == string(cni.Bridge)
	opts.CNIDir = cfg.CNI.ConfDir
	if opts.CNIDir == "" {
		opts.SubnetFile = ""
	}
	return &Replacer{owners: cfg.Replace, opts: opts, logged: map[string]bool{}, ready: func() bool {
		if !ready() {
			return false
		}
		if opts.CNIDir == "" {
			return true
		}
		_, err := os.Stat(filepath.Join(opts.CNIDir, cni.DefaultFile)) // without it no pod could start
		return err == nil
	}}
}

// Run removes leftovers until replaceWatch has passed since all were removed, or until ctx is
// done. It returns nil. An object may come back: from a program that the agent cannot see, or
// from an nft that outlives the program that started it. It goes again after at most the time
// that it took to come back, and replaceWait.
func (r *Replacer) Run(ctx context.Context) error {
	if !worker.Await(ctx, readyInterval, r.ready) {
		return nil
	}
	for watched := time.Duration(0); ; {
		wait, goesOn := afterCheck(r.once(ctx), &watched)
		if !goesOn {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// afterCheck returns how long to wait for the next check, and false if there is none. watched is
// the time from the check that removed everything to the next one.
func afterCheck(again bool, watched *time.Duration) (wait time.Duration, goesOn bool) {
	if again {
		*watched = 0
		return replaceWait, true
	}
	wait = max(replaceWait, *watched)
	goesOn = *watched < replaceWatch
	*watched += wait
	return wait, goesOn
}

// once removes what it can, and reports whether to check again soon.
func (r *Replacer) once(ctx context.Context) (again bool) {
	logger := klog.FromContext(ctx)
	var owners []leftovers.Owner
	for _, o := range r.owners {
		pids, err := leftovers.Running(o)
		if err != nil {
			r.log(ctx, err, "Failed to check whether a replaced program still runs", "program", o)
		}
		if len(pids) > 0 {
			r.log(ctx, nil, "Waiting for a replaced program to end before removing its objects", "program", o, "pids", pids)
			again = true
			continue
		}
		owners = append(owners, o)
	}
	state, err := leftovers.Look(nil, r.opts)
	if err != nil {
		r.log(ctx, err, "Failed to list objects of replaced programs")
		return true
	}
	plan := leftovers.NewPlan(r.opts, owners, state)
	err = leftovers.Apply(ctx, nil, plan, func(x *leftovers.Removal, err error) {
		if err == nil {
			logger.Info("Removed object of a replaced program", "program", x.Owner, "object", x.String())
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log(ctx, err, "Failed to remove all objects of replaced programs, retrying")
		again = true
	}
	for i := range plan.Left {
		r.log(ctx, nil, "An object of a replaced program must be removed by hand", "program", plan.Left[i].Owner, "object", plan.Left[i].String())
	}
	return again
}

// mostLogged bounds the messages that log remembers. A program that is started again and again has
// another process ID each time.
const mostLogged = 200

// log logs a message that was not logged before, as far as it remembers.
func (r *Replacer) log(ctx context.Context, err error, msg string, kv ...any) {
	key := fmt.Sprint(append([]any{err, msg}, kv...)...)
	if r.logged[key] {
		return
	}
	if len(r.logged) >= mostLogged {
		clear(r.logged)
	}
	r.logged[key] = true
	if err != nil {
		klog.FromContext(ctx).Error(err, msg, kv...)
		return
	}
	klog.FromContext(ctx).Info(msg, kv...)
}
