// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, 100 per second on all Linux.
const tick = 10 * time.Millisecond

// Processor returns the processor time that the agent has used, kernel time included:
// that of its threads to the nanosecond, that of its ended children to the tick.
func (a *Agent) Processor() (used time.Duration, err error) {
	pid := a.process.Pid()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("parse %s: %w", path, err)
		}
		used += time.Duration(n)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in brackets; after it cutime is the 14th.
	_, rest, _ := strings.Cut(string(b), ") ")
	for _, f := range strings.Fields(rest)[13:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("parse times of process %d: %w", pid, err)
		}
		used += time.Duration(n) * tick
	}
	return used, nil
}

// Memory returns the resident memory of the agent and the most it ever had, in bytes.
func (a *Agent) Memory() (resident, peak float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.process.Pid()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*float64{"VmRSS": &resident, "VmHWM": &peak}[name]
		if to == nil {
			continue
		}
		kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("parse memory of process %d: %w", a.process.Pid(), err)
		}
		*to = kb * 1024
	}
	if resident == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("read memory of process %d: it has none", a.process.Pid())
	}
	return resident, peak, nil
}
