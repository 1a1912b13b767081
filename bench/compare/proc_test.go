// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, 100 per second on all Linux.
const tick = 10 * time.Millisecond

// processor returns what a process has used, kernel time included: its threads
// to the nanosecond, its children that have ended to the tick.
func processor(t *testing.T, pid int) (used time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	check(t, err)
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread has ended
		}
		check(t, err)
		used += time.Duration(number(t, strings.Fields(string(b))[0]))
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(t, err)
	// The second field is the name in brackets; after it cutime is the 14th.
	_, rest, _ := strings.Cut(string(b), ") ")
	for _, f := range strings.Fields(rest)[13:15] {
		used += time.Duration(number(t, f)) * tick
	}
	return used
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	check(t, err)
	return n
}

// memory returns the resident memory of a process and the most it ever had, in
// bytes.
func memory(t *testing.T, pid int) (resident, peak int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(t, err)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &resident, "VmHWM": &peak}[name]
		if to == nil {
			continue
		}
		*to = number(t, strings.Fields(value)[0]) << 10
	}
	return resident, peak
}
