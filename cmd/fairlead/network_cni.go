// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/cni"
)

// cniInterval is how often the conflist is looked at: nobody tells when somebody
// removes it.
const cniInterval = time.Second

// cniWriter keeps the conflist by which the container runtime knows how to
// connect pods. It writes it last, when pods returns true for the first time, and
// leaves it in place: pods of a node whose agent is replaced still start.
type cniWriter struct {
	flags *cniFlags
	pods  func() (podNetwork, bool)

	installed bool            // plugins are
	said      map[string]bool // what the log has
}

func newCNIWriter(flags *cniFlags, pods func() (podNetwork, bool)) *cniWriter {
	return &cniWriter{flags: flags, pods: pods, said: map[string]bool{}}
}

// run keeps the conflist until ctx ends.
func (w *cniWriter) run(ctx context.Context) error {
	const first = 50 * time.Millisecond // until it is there, pods wait for it
	tick := time.NewTicker(first)
	defer tick.Stop()
	for {
		if w.write(ctx) {
			tick.Reset(cniInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// write makes plugins and conflist what they should be and reports whether they
// are.
func (w *cniWriter) write(ctx context.Context) bool {
	pods, ready := w.pods()
	if !ready {
		return false
	}
	cfg := cni.Config{Plugin: cni.Plugin(w.flags.plugin), PodCIDRs: pods.cidrs, MTU: pods.mtu}
	if cfg.Plugin == cni.Bridge {
		cfg.Bridge = cni.DefaultBridge
	}
	if !w.installPlugins(ctx, cfg.Plugins()) {
		return false
	}
	text, err := cfg.Conflist()
	if err != nil {
		w.say(ctx, err, "The CNI configuration cannot be written")
		return false
	}
	file := filepath.Join(w.flags.confDir, cni.DefaultFile)
	written, err := cni.Install(file, text)
	if err != nil {
		w.say(ctx, err, "The CNI configuration cannot be written")
		return false
	}
	if written {
		klog.FromContext(ctx).Info("Wrote the CNI configuration: pods may start", "file", file, "podCIDRs", pods.cidrs, "mtu", pods.mtu)
	}
	rivals, err := cni.Rivals(file)
	if err != nil {
		w.say(ctx, err, "Looking for other CNI configurations")
	}
	for _, r := range rivals {
		w.say(ctx, nil, r.String())
	}
	return true
}

// installPlugins does it once. A plugin that is missing in the end would make
// every pod fail, so that the conflist has to wait.
func (w *cniWriter) installPlugins(ctx context.Context, plugins []string) bool {
	log := klog.FromContext(ctx)
	if w.flags.from != "" && !w.installed {
		results, err := cni.InstallPlugins(w.flags.from, w.flags.binDir, plugins)
		for _, r := range results {
			log.Info("CNI plugin", "name", r.Plugin, "outcome", r.Outcome, "ours", r.Ours, "theirs", r.Theirs)
		}
		if err != nil {
			w.say(ctx, err, "Not all CNI plugins could be installed")
		}
		w.installed = err == nil
	}
	if missing := cni.Missing(w.flags.binDir, plugins); len(missing) > 0 {
		w.say(ctx, nil, "CNI plugins are missing, so that pods cannot start", "dir", w.flags.binDir, "plugins", missing)
		return false
	}
	return true
}

// say logs what was not said before.
func (w *cniWriter) say(ctx context.Context, err error, msg string, kv ...any) {
	key := msg
	if err != nil {
		key += err.Error()
	}
	if w.said[key] {
		return
	}
	w.said[key] = true
	if err != nil {
		klog.FromContext(ctx).Error(err, msg, kv...)
	} else {
		klog.FromContext(ctx).Info(msg, kv...)
	}
}
