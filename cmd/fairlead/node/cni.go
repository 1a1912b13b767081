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

	// report takes the error that keeps pods from starting, and what else is wrong.
	report    func(err error, others []string)
	installed bool  // whether the plugins were installed
	failed    error // of the last try to install them
	retry     time.Time
	outcomes  map[string]cni.Result // that were logged
}

// pluginRetry is the time between two tries to install plugins while all of them are there.
const pluginRetry = 30 * time.Second

func newCNIWriter(cfg *CNI, pods func() (podNetwork, bool)) *cniWriter {
	return &cniWriter{cfg: cfg, pods: pods, report: func(error, []string) {}, outcomes: map[string]cni.Result{}}
}

// run keeps the conflist until ctx is done.
func (w *cniWriter) run(ctx context.Context) error {
	const first = 50 * time.Millisecond // no pod can start before the file exists
	tick := time.NewTicker(first)
	defer tick.Stop()
	for {
		if w.once(ctx) {
			tick.Reset(cniInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// once writes and reports once, if pods can start.
func (w *cniWriter) once(ctx context.Context) bool {
	pods, ready := w.pods()
	if !ready {
		return false
	}
	err := w.write(ctx, pods)
	others := rivals(w.file())
	if err == nil {
		others = append(texts(w.failed), others...)
	}
	w.report(err, others)
	return true
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

// installPlugins copies the plugins once, and again when one is missing, as after the cleanup of
// another network. It returns an error if a plugin is missing afterwards, because every pod would
// fail to start. A plugin that could not be replaced still works.
func (w *cniWriter) installPlugins(ctx context.Context, plugins []string) error {
	missing := cni.Missing(w.cfg.BinDir, plugins)
	if w.cfg.PluginsFrom != "" && (len(missing) > 0 || !w.installed && time.Now().After(w.retry)) {
		results, err := cni.InstallPlugins(w.cfg.PluginsFrom, w.cfg.BinDir, plugins)
		for _, r := range results {
			if w.outcomes[r.Plugin] != r || r.Outcome == cni.Installed || r.Outcome == cni.Upgraded {
				w.outcomes[r.Plugin] = r
				klog.FromContext(ctx).Info("Checked CNI plugin", "name", r.Plugin, "outcome", r.Outcome, "ours", r.Ours, "theirs", r.Theirs)
			}
		}
		w.installed, w.failed, w.retry = err == nil, err, time.Now().Add(pluginRetry)
		missing = cni.Missing(w.cfg.BinDir, plugins)
	}
	if len(missing) > 0 {
		return errors.Join(w.failed, fmt.Errorf("pods cannot start: %s has no CNI plugin %s", w.cfg.BinDir, strings.Join(missing, ", ")))
	}
	return nil
}
