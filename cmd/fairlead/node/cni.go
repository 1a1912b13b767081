// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

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

// cniInterval is the time between two checks of the conflist. Another program may
// remove it at any time.
const cniInterval = time.Second

// cniWriter keeps the conflist from which the container runtime learns how to
// connect pods. It writes the file when pods returns true for the first time. The
// file stays when the agent ends, so that pods start during an upgrade.
type cniWriter struct {
	cfg  *CNI
	pods func() (podNetwork, bool)

	report    func(err error, rivals []string)
	installed bool // whether the plugins were installed
}

func newCNIWriter(cfg *CNI, pods func() (podNetwork, bool)) *cniWriter {
	return &cniWriter{cfg: cfg, pods: pods, report: func(error, []string) {}}
}

// run keeps the conflist until ctx is done.
func (w *cniWriter) run(ctx context.Context) error {
	const first = 50 * time.Millisecond // no pod can start before the file exists
	tick := time.NewTicker(first)
	defer tick.Stop()
	for {
		if pods, ready := w.pods(); ready {
			err := w.write(ctx, pods)
			w.report(err, rivals(w.file()))
			tick.Reset(cniInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *cniWriter) file() string { return filepath.Join(w.cfg.ConfDir, cni.DefaultFile) }

// write installs plugins and updates the conflist.
func (w *cniWriter) write(ctx context.Context, pods podNetwork) error {
	cfg := cni.Config{Name: w.cfg.Name, Plugin: cni.Plugin(w.cfg.Plugin), PodCIDRs: pods.cidrs, MTU: pods.mtu, DataDir: w.cfg.DataDir}
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
		klog.FromContext(ctx).Info("Wrote the CNI configuration, pods can start", "file", w.file(), "podCIDRs", pods.cidrs, "mtu", pods.mtu)
	}
	return err
}

// rivals returns a text for each other configuration that conflicts with ours.
func rivals(file string) []string {
	found, err := cni.Rivals(file)
	out := texts(err)
	for _, r := range found {
		out = append(out, r.String())
	}
	return out
}

// texts returns the text of an error, and no text for nil.
func texts(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

// installPlugins copies the plugins once. It returns an error if a plugin is
// missing afterwards, because every pod would fail to start.
func (w *cniWriter) installPlugins(ctx context.Context, plugins []string) error {
	var failed error
	if w.cfg.PluginsFrom != "" && !w.installed {
		results, err := cni.InstallPlugins(w.cfg.PluginsFrom, w.cfg.BinDir, plugins)
		for _, r := range results {
			klog.FromContext(ctx).Info("Checked CNI plugin", "name", r.Plugin, "outcome", r.Outcome, "ours", r.Ours, "theirs", r.Theirs)
		}
		w.installed, failed = err == nil, err
	}
	if missing := cni.Missing(w.cfg.BinDir, plugins); len(missing) > 0 {
		return errors.Join(failed, fmt.Errorf("pods cannot start: %s has no CNI plugin %s", w.cfg.BinDir, strings.Join(missing, ", ")))
	}
	return nil // a plugin that could not be upgraded still works
}
