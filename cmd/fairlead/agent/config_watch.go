// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// errConfigChanged ends the agent, as in kube-proxy. Its supervisor starts it again
// with the new configuration; the data path stays in place meanwhile.
var errConfigChanged = errors.New("configuration changed: ending, so that a restart reads it")

// configInterval is the time between two looks at the files where the kernel tells of no changes,
// because other programs of the same user watch as much as they may.
const configInterval = 10 * time.Second

// watchConfig returns errConfigChanged when the content of a file differs from that in
// files, and nil when ctx is done.
func watchConfig(ctx context.Context, files map[string][]byte) error {
	return watchConfigWith(ctx, files, fsnotify.NewWatcher)
}

func watchConfigWith(ctx context.Context, files map[string][]byte, open func() (*fsnotify.Watcher, error)) error {
	w, err := open()
	if err == nil {
		defer func() { _ = w.Close() }()
		for file := range files {
			// The kubelet updates a mounted ConfigMap by a link in the directory.
			err = errors.Join(err, w.Add(filepath.Dir(file)))
		}
	} else {
		w = &fsnotify.Watcher{} // from which nothing comes
	}
	var tick <-chan time.Time
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to watch the configuration, reading it at an interval: raise fs.inotify.max_user_instances or max_user_watches", "interval", configInterval)
		ticker := time.NewTicker(configInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		for file, had := range files {
			// A file that is missing or empty is being written.
			if has, err := os.ReadFile(file); err == nil && len(has) > 0 && !bytes.Equal(has, had) {
				return fmt.Errorf("%s: %w", file, errConfigChanged)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
		case err := <-w.Errors:
			if err == nil {
				return nil // the watcher is closed
			}
			// Events were lost, so check.
		}
	}
}
