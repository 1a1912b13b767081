// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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

	report    func(texts []string)
	installed bool // plugins are
}

func newCNIWriter(flags *cniFlags, pods func() (podNetwork, bool)) *cniWriter {
	return &cniWriter{flags: flags, pods: pods, report: func([]string) {}}
}

// run keeps the conflist until ctx ends.
func (w *cniWriter) run(ctx context.Context) error {
	const first = 50 * time.Millisecond // until it is there, pods wait for it
	tick := time.NewTicker(first)
	defer tick.Stop()
	for {
		if pods, ready := w.pods(); ready {
			err := w.write(ctx, pods)
			w.report(append(texts(err), rivals(w.file())...))
			tick.Reset(cniInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *cniWriter) file() string { return filepath.Join(w.flags.confDir, cni.DefaultFile) }

// write makes plugins and conflist what they should be.
func (w *cniWriter) write(ctx context.Context, pods podNetwork) error {
	cfg := cni.Config{Name: w.flags.name, Plugin: cni.Plugin(w.flags.plugin), PodCIDRs: pods.cidrs, MTU: pods.mtu, DataDir: w.flags.dataDir}
	if cfg.Plugin == cni.Bridge {
		cfg.Bridge = cni.DefaultBridge
	}
	if err := w.installPlugins(ctx, cfg.Plugins()); err != nil {
		return err
	}
	text, err := cfg.Conflist()
	if err != nil {
		return err
	}
	written, err := cni.Install(w.file(), text)
	if written {
		klog.FromContext(ctx).Info("Wrote the CNI configuration: pods may start", "file", w.file(), "podCIDRs", pods.cidrs, "mtu", pods.mtu)
	}
	return err
}

// rivals returns what is wrong with other configurations beside ours.
func rivals(file string) []string {
	found, err := cni.Rivals(file)
	out := texts(err)
	for _, r := range found {
		out = append(out, r.String())
	}
	return out
}

// texts returns what an error says, and nothing for none.
func texts(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

// installPlugins does it once. A plugin that is missing in the end would make
// every pod fail, so that the conflist has to wait.
func (w *cniWriter) installPlugins(ctx context.Context, plugins []string) error {
	var failed error
	if w.flags.from != "" && !w.installed {
		results, err := cni.InstallPlugins(w.flags.from, w.flags.binDir, plugins)
		for _, r := range results {
			klog.FromContext(ctx).Info("CNI plugin", "name", r.Plugin, "outcome", r.Outcome, "ours", r.Ours, "theirs", r.Theirs)
		}
		w.installed, failed = err == nil, err
	}
	if missing := cni.Missing(w.flags.binDir, plugins); len(missing) > 0 {
		return errors.Join(failed, fmt.Errorf("pods cannot start: %s has no CNI plugin %s", w.flags.binDir, strings.Join(missing, ", ")))
	}
	return nil // what could not be upgraded works as it is
}
