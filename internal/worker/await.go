// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"time"
)

// Await polls ready once per interval. It returns true once ready does, and false
// when ctx is done before.
func Await(ctx context.Context, interval time.Duration, ready func() bool) bool {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
