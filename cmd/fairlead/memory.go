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
const gcPercent = 25

// saveMemory makes the garbage collector save memory, unless GOGC says
// otherwise, and gives back what the first sync needed once it is over.
func saveMemory(ctx context.Context, ready func() bool) error {
	if await(ctx, ready) {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(gcPercent) // not before: the first sync is in a hurry
		}
		debug.FreeOSMemory()
	}
	return nil
}

// await returns true once ready does, and false when ctx ends before.
func await(ctx context.Context, ready func() bool) bool {
	tick := time.NewTicker(time.Second)
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
