// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"fairlead/nat"
)

// Pauses between two loads of the table after changes by other programs; doubled from
// the first to the last, and forgotten after peace.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	peace      = 10 * time.Second
)

// A fight is logged after fightRepairs repairs without peace between them, and again
// after each fightLine. The first line waits for fightUnnamed repairs until the kernel has
// named the other program: the loop can meet a change before the news of it. A program that
// takes its changes back may have done so at each load, so fightLoads loads are a fight too.
const (
	fightRepairs = 3
	fightUnnamed = 10
	fightLoads   = 10
	fightLine    = 10 * time.Minute
)

// fight bounds what a program costs that keeps changing the table. The first change is
// repaired at once; later ones wait up to lastPause, and are repaired together. Commits
// of other changes do not wait.
type fight struct {
	last    time.Time // load after a change
	pause   time.Duration
	loads   int // after changes by programs that the kernel named
	repairs int
	by      nat.Writer // the last one that the kernel named
	line    time.Time  // when the fight was logged
}

// wait returns how long a change of another program has to wait.
func (f *fight) wait(now time.Time) time.Duration {
	if now.Sub(f.last) >= peace {
		*f = fight{}
	}
	return f.pause - now.Sub(f.last)
}

// loading notes a load after a change by another program, which is zero if it is unknown. It
// reports whether to log the fight.
func (f *fight) loading(now time.Time, by nat.Writer) (fought bool) {
	f.last = now
	f.pause = min(max(2*f.pause, firstPause), lastPause)
	if by.PID == 0 {
		return false
	}
	f.by = by
	f.loads++
	return f.loads >= fightLoads && f.due(now)
}

// repaired counts a repair of a change by another program, which is zero if it is unknown. It
// reports whether to log the repair, or the fight.
func (f *fight) repaired(now time.Time, by nat.Writer) (repair, fought bool) {
	if by.PID != 0 {
		f.by = by
	}
	f.repairs++
	if f.repairs < fightRepairs || f.by.PID == 0 && f.repairs < fightUnnamed {
		return f.line.IsZero(), false
	}
	return false, f.due(now)
}

// due reports whether a line about the fight is due, and notes it.
func (f *fight) due(now time.Time) bool {
	if !f.line.IsZero() && now.Sub(f.line) < fightLine {
		return false
	}
	f.line = now
	return true
}

// log says who keeps changing the table, and what was found at last.
func (f *fight) log(log klog.Logger, found string) {
	log.Info("Warning: another program keeps changing the table, repairing it at most once per second: stop that program",
		"by", f.by.String(), "found", found, "repairs", f.repairs)
}

// lastWriter is the program that the kernel named last. The zero value is one that names
// nobody. The watch stores it, and the loop takes it.
type lastWriter struct{ atomic.Pointer[nat.Writer] }

// take returns it once, or zero.
func (l *lastWriter) take() nat.Writer {
	if w := l.Swap(nil); w != nil {
		return *w
	}
	return nat.Writer{}
}
