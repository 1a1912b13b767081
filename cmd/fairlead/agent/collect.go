// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/prometheus/procfs"
	"k8s.io/klog/v2"

	"fairlead/internal/program"
	"fairlead/internal/worker"
)

// The targets of the garbage collector trade processor time for memory. Those of the first sync
// are in pace.go. Afterwards the agent allocates little.
const (
	restPercent = 50
	// busyPercent is the target while objects change all the time. Each collection keeps
	// both processors of a small node busy for some 50 ms, and changes that come meanwhile
	// wait longer.
	busyPercent = 100
)

const (
	collectEvery = 10 * time.Second
	// mostCollecting is the processor time of collections in collectEvery that is taken for
	// rest. More means that some percent of all changes meet a collection.
	mostCollecting = collectEvery * 3 / 100
	// leastCollecting is below half of that, because the high target makes collections
	// half as frequent. After calm looks with less the target is low again.
	leastCollecting = collectEvery / 200
	calm            = 3
)

// saveMemory returns the memory of the first sync to the system when that is over, the pages
// of the program included, and sets the target of the garbage collector before and from then on,
// unless GOGC is set. It returns nil when ctx is done.
func saveMemory(ctx context.Context, ready func() bool) error {
	if os.Getenv("GOGC") != "" {
		if worker.Await(ctx, time.Second, ready) {
			freeMemory(ctx)
		}
		return nil
	}
	if !awaitStart(ctx, ready) {
		return nil
	}
	c := collector{percent: restPercent}
	apply := func() {
		debug.SetGCPercent(c.percent)
		if c.percent == restPercent {
			freeMemory(ctx)
		}
	}
	apply()
	c.spent = collecting()
	return worker.Repeat(ctx, collectEvery, nil, func() {
		if c.look(collecting()) {
			apply()
			c.spent = collecting() // freeing memory is a collection
		}
	})
}

// littleMemory is three quarters of what an agent asks for in the smallest cluster, in bytes: see
// resources in the chart. One that takes less keeps the pages of its program.
const littleMemory = 48 << 20

// freeMemory returns what is not used to the system.
func freeMemory(ctx context.Context) {
	debug.FreeOSMemory()
	if n, err := resident(); err != nil || n > littleMemory {
		forgetProgram(ctx)
	}
}

// resident returns the memory of this process, in bytes.
func resident() (int, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	stat, err := self.Stat()
	return stat.ResidentMemory(), err
}

// forgetProgram returns the pages of the program. Those of flags, of initialization and of a
// first sync are half of the program, and not used again.
func forgetProgram(ctx context.Context) {
	if err := program.Forget(); err != nil {
		klog.FromContext(ctx).V(2).Info("Keeping the pages of the program in memory", "err", err)
	}
}

// collecting returns the processor time that the garbage collector has used.
func collecting() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}

// collector chooses the target of the garbage collector.
type collector struct {
	percent int
	spent   time.Duration // processor time at the last look
	calm    int           // looks in a row that found little
}

// look takes the processor time of all collections, every collectEvery, and reports
// whether the target has changed.
func (c *collector) look(spent time.Duration) bool {
	fresh := spent - c.spent
	c.spent = spent
	c.calm++
	if fresh >= leastCollecting {
		c.calm = 0
	}
	switch {
	case c.percent == restPercent && fresh > mostCollecting:
		c.percent = busyPercent
	case c.percent == busyPercent && c.calm >= calm:
		c.percent = restPercent
	default:
		return false
	}
	return true
}
