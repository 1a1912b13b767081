// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"time"
)

// Repeat calls f at once, then once per interval and whenever woken is ready, until ctx
// is done. It returns nil then. A nil woken is never ready.
func Repeat(ctx context.Context, interval time.Duration, woken <-chan struct{}, f func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-woken:
		}
	}
}
