// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"fairlead/internal/worker"
)

// gcPercent trades CPU for memory. After the first sync the agent allocates little, so
// the CPU cost is small.
const gcPercent = 25

// saveMemory returns the memory of the first sync to the system when that is over, and
// lowers the target of the garbage collector unless GOGC is set.
func saveMemory(ctx context.Context, ready func() bool) error {
	if worker.Await(ctx, time.Second, ready) {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(gcPercent) // the first sync ran with the default, because it is urgent
		}
		debug.FreeOSMemory()
	}
	return nil
}
