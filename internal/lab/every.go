// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"time"
)

// Every calls do once per interval until ctx is done, as a client that makes connections
// does. The context of do outlives ctx, so that a connection under way is finished.
func Every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(context.WithoutCancel(ctx))
		}
	}
}
