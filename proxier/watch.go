// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"context"
	"time"

	"k8s.io/klog/v2"

	"fairlead/nat"
)

// Pauses before a watch that ended begins again; doubled from the first to the last, and forgotten
// after one that has worked for watchWorks. Each beginning reads the table.
const (
	firstWatchPause = 100 * time.Millisecond
	lastWatchPause  = 5 * time.Second
	watchWorks      = 10 * time.Second
)

// watch pokes the loop when another program changes the table. If watching fails, it
// starts again and pokes for what it missed.
func (p *Proxier) watch(ctx context.Context) {
	poke := func(w nat.Writer) {
		if w.PID != 0 {
			p.writer.Store(&w)
		}
		p.outage.change(time.Now())
		p.changed.Or(uint32(cmp.Or(w.Changed, nat.Everything)))
		p.drifted.Set()
	}
	var ends watchEnds
	for ctx.Err() == nil {
		began := time.Now()
		err := p.table.Watch(ctx, poke)
		if ctx.Err() != nil {
			return
		}
		pause, isNew := ends.add(time.Since(began), err)
		if isNew {
			klog.FromContext(ctx).Error(err, "Watch of the table ended, beginning again", "retryIn", pause)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			poke(nat.Writer{})
		}
	}
}

// watchEnds bounds what a watch costs that ends again and again, and how much is logged about it. The
// zero value has seen none.
type watchEnds struct {
	pause time.Duration
	text  string
}

// add takes note of the end of a watch. It returns how long to wait before the next one, and whether
// the error differs from the one before.
func (e *watchEnds) add(lasted time.Duration, err error) (pause time.Duration, isNew bool) {
	if lasted >= watchWorks {
		*e = watchEnds{}
	}
	e.pause = min(max(2*e.pause, firstWatchPause), lastWatchPause)
	text := ""
	if err != nil {
		text = err.Error()
	}
	isNew = err != nil && text != e.text
	e.text = text
	return e.pause, isNew
}
