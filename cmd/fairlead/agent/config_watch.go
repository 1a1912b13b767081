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

	"github.com/fsnotify/fsnotify"
)

// errConfigChanged ends the agent, as in kube-proxy. Its supervisor starts it again
// with the new configuration; the data path stays in place meanwhile.
var errConfigChanged = errors.New("configuration changed: ending, so that a restart reads it")

// watchConfig returns errConfigChanged when the content of a file differs from that in
// files, and nil when ctx is done.
func watchConfig(ctx context.Context, files map[string][]byte) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer func() { _ = w.Close() }()
	for file := range files {
		// The kubelet updates a mounted ConfigMap by a link in the directory.
		if err := w.Add(filepath.Dir(file)); err != nil {
			return fmt.Errorf("watch configuration: %w", err)
		}
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
