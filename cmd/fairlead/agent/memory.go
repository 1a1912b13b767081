// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory makes the garbage collector work harder when the heap approaches the limit
// of the container, unless GOMEMLIMIT is set. Without it a first sync of a large cluster
// may exceed a limit that the agent needs half of. It takes three quarters of the limit,
// because the kernel counts elements of the table and buffers of sockets as well.
func limitMemory(cgroups string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, ok := memoryLimit(cgroups); ok {
		debug.SetMemoryLimit(limit / 4 * 3)
	}
}

// memoryLimit returns the limit of the container in bytes, and false for none. The
// directory of a container's cgroup is the root of what it sees: of cgroup v2, or of the
// memory controller of v1.
func memoryLimit(cgroups string) (int64, bool) {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(filepath.Join(cgroups, name))
		if err != nil {
			continue
		}
		// v2 says "max" for no limit, and v1 the largest number of pages.
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return n, err == nil && n > 0 && n < math.MaxInt64/2
	}
	return 0, false
}
