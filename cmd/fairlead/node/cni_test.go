// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"fairlead/internal/cni"
)

// newPlugins returns a writer for a node that has all plugins. They are programs, although not
// those that they should be.
func newPlugins(t *testing.T) *cniWriter {
	t.Helper()
	dir := t.TempDir()
	cfg := CNI{Plugin: string(cni.PTP), ConfDir: dir, BinDir: filepath.Join(dir, "bin"), PluginsFrom: filepath.Join(dir, "from")}
	program, err := os.ReadFile("/proc/self/exe")
	for _, to := range []string{cfg.BinDir, cfg.PluginsFrom} {
		err = errors.Join(err, os.Mkdir(to, 0o755))
		for _, name := range (cni.Config{Plugin: cni.PTP}).Plugins() {
			err = errors.Join(err, os.WriteFile(filepath.Join(to, name), program, 0o755))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return newCNIWriter(&cfg, func() (podNetwork, bool) {
		return podNetwork{cidrs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}}, true
	})
}

// TestPluginNotReplaced: a plugin that cannot be replaced still connects pods, so the conflist
// is written. The error is reported as long as it lasts, and the log says each outcome once.
func TestPluginNotReplaced(t *testing.T) {
	w := newPlugins(t)
	program, err := os.ReadFile(filepath.Join(w.cfg.BinDir, "ptp"))
	broken := filepath.Join(w.cfg.PluginsFrom, "host-local")
	if err := errors.Join(err, os.Truncate(broken, 0)); err != nil {
		t.Fatal(err)
	}
	var failed error
	var reported string
	w.report = func(err error, texts []string) { failed, reported = err, strings.Join(texts, "\n") }
	var log ktesting.BufferTL
	ctx := klog.NewContext(t.Context(), ktesting.NewLogger(&log, ktesting.NewConfig()))
	for range 3 {
		if !w.once(ctx) {
			t.Fatal("the conflist waits")
		}
		if failed != nil || !strings.Contains(reported, "install plugin host-local") {
			t.Errorf("error %v, reported %q: want no error, and host-local", failed, reported)
		}
	}
	if n := strings.Count(log.String(), "Checked CNI plugin"); n != 2 {
		t.Errorf("%d lines about plugins, want one each for ptp and loopback:\n%s", n, log.String())
	}
	w.retry = w.retry.Add(-2 * pluginRetry)
	if err := os.WriteFile(broken, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if w.once(ctx); failed != nil || reported != "" {
		t.Errorf("with all plugins: error %v, reported %q", failed, reported)
	}
	if n := strings.Count(log.String(), "Checked CNI plugin"); n != 3 {
		t.Errorf("%d lines about plugins, want one each:\n%s", n, log.String())
	}
}

// TestPluginRemoved: another program removes a plugin, as the cleanup of another network does.
func TestPluginRemoved(t *testing.T) {
	w := newPlugins(t)
	var failed error
	w.report = func(err error, _ []string) { failed = err }
	w.once(t.Context())
	gone := filepath.Join(w.cfg.BinDir, "ptp")
	if err := errors.Join(failed, os.Remove(gone)); err != nil {
		t.Fatal(err)
	}
	w.once(t.Context())
	if _, err := os.Stat(gone); failed != nil || err != nil {
		t.Errorf("after a plugin was removed: %v, %v", failed, err)
	}
}
