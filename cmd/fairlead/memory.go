// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// gcPercent trades a little CPU for memory, which nodes have less of: after the
// first sync the agent allocates next to nothing.
const gcPercent = 40

// saveMemory makes the garbage collector save memory, unless GOGC says
// otherwise, and gives back what the first sync needed once it is over.
func saveMemory(ctx context.Context, ready func() bool) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	debug.FreeOSMemory()
	return nil
}
