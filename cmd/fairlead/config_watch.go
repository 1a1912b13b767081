// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// errConfigChanged ends the agent, as it ends kube-proxy: started again it has
// the new configuration, and the data path stays as it is meanwhile.
var errConfigChanged = errors.New("configuration has changed: ending, to be started again with it")

// watchConfig returns errConfigChanged when a file no longer has the content that
// files say it had, and nil when ctx ends.
func watchConfig(ctx context.Context, files map[string][]byte) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer func() { _ = w.Close() }()
	for file := range files {
		// A mounted ConfigMap changes by a link in the directory.
		if err := w.Add(filepath.Dir(file)); err != nil {
			return fmt.Errorf("watch configuration: %w", err)
		}
	}
	for {
		for file, had := range files {
			// What is not there, or empty, is about to be written.
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
		case <-w.Errors: // events were lost: look
		}
	}
}
