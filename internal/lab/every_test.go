// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fairlead/internal/lab"
)

// TestEvery: calls come once per interval, and the one that runs when the load stops is
// finished and the last.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start, calls := time.Now(), 0
		lab.Every(ctx, time.Second, func(ctx context.Context) {
			if calls++; calls == 3 {
				cancel()
			}
			if err := ctx.Err(); err != nil {
				t.Errorf("call %d: %v", calls, err)
			}
		})
		if took := time.Since(start); calls != 3 || took != 3*time.Second {
			t.Errorf("%d calls in %s, want 3 in 3s", calls, took)
		}
	})
}
