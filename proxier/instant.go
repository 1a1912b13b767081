// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"sync/atomic"
	"time"
)

// instant is a point in time, or none. It counts by the monotonic clock, because anybody may
// set the other one. To set it allocates nothing. Safe for concurrent use.
type instant struct {
	base  time.Time
	after atomic.Int64 // nanoseconds from just before base, 0 for none
}

// newInstant returns an instant that is none. base is a time with a reading of the monotonic
// clock; the instant is never before it.
func newInstant(base time.Time) instant { return instant{base: base} }

func (m *instant) set(t time.Time) { m.after.Store(m.nanos(t)) }

// setFirst sets the instant if it is none.
func (m *instant) setFirst(t time.Time) { m.after.CompareAndSwap(0, m.nanos(t)) }

func (m *instant) clear() { m.after.Store(0) }

// get returns the zero time for none.
func (m *instant) get() time.Time {
	after := m.after.Load()
	if after == 0 {
		return time.Time{}
	}
	return m.base.Add(time.Duration(after - 1))
}

func (m *instant) nanos(t time.Time) int64 { return max(0, int64(t.Sub(m.base))) + 1 }
