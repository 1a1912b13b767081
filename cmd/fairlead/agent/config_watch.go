// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"

	"fairlead/internal/filewatch"
)

// errConfigChanged ends the agent, as in kube-proxy. Its supervisor starts it again
// with the new configuration; the data path stays in place meanwhile.
var errConfigChanged = errors.New("configuration changed: ending, so that a restart reads it")

// watchConfig returns errConfigChanged when the content of a file differs from that in
// files, and nil when ctx is done.
func watchConfig(ctx context.Context, files map[string][]byte) error {
	return watchConfigWith(ctx, files, nil)
}

func watchConfigWith(ctx context.Context, files map[string][]byte, open func() (*fsnotify.Watcher, error)) error {
	o := filewatch.Options{Paths: slices.Collect(maps.Keys(files)), Open: open, Refused: func(err error) {
		klog.FromContext(ctx).Error(err, "Failed to watch the configuration, reading it at an interval: raise fs.inotify.max_user_instances or max_user_watches", "interval", filewatch.Interval)
	}}
	return filewatch.Run(ctx, o, func() (time.Duration, error) {
		for file, had := range files {
			// A file that is missing or empty is being written.
			if has, err := os.ReadFile(file); err == nil && len(has) > 0 && !bytes.Equal(has, had) {
				return 0, fmt.Errorf("%s: %w", file, errConfigChanged)
			}
		}
		return 0, nil
	})
}
