// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"fairlead/internal/chaos"
)

// tally is what is printed at the end.
type tally struct {
	done     int                   // connections and requests that were answered
	slow     int                   // those that waited although nothing permitted that, within patience
	slowest  time.Duration         // of these
	events   map[chaos.Kind]int    // by kind
	outages  map[chaos.Kind]outage // by the event before them
	conflist time.Duration         // the longest wait for the file
	busy     time.Duration         // the machine had other things to do
	starved  int                   // agents that the kernel ended for want of memory
	old      int                   // connections that the kernel took for earlier ones, and that were answered by a wrong server therefore
}

// outage is what events of one kind cost.
type outage struct {
	clients int           // connections that had to wait
	resets  int           // established connections that ended
	longest time.Duration // from the event to the answer
}

func newTally() tally {
	return tally{events: map[chaos.Kind]int{}, outages: map[chaos.Kind]outage{}}
}

// add adds the figures of another round.
func (t *tally) add(o *tally) {
	if t.events == nil {
		*t = newTally()
	}
	t.done += o.done
	t.slow += o.slow
	t.starved += o.starved
	t.old += o.old
	t.busy += o.busy
	t.slowest = max(t.slowest, o.slowest)
	t.conflist = max(t.conflist, o.conflist)
	for k, n := range o.events {
		t.events[k] += n
	}
	for k, out := range o.outages {
		t.delayed(k, out)
	}
}

func (t *tally) delayed(k chaos.Kind, o outage) {
	sum := t.outages[k]
	sum.clients += o.clients
	sum.resets += o.resets
	sum.longest = max(sum.longest, o.longest)
	t.outages[k] = sum
}

// print writes a line for each kind.
func (t *tally) print(out io.Writer) {
	for _, k := range slices.Sorted(maps.Keys(t.events)) {
		o := t.outages[k]
		fmt.Fprintf(out, "  %-12s %4d times", k, t.events[k])
		if o.clients > 0 {
			fmt.Fprintf(out, ", %d connections waited, up to %d ms after the event", o.clients, o.longest.Milliseconds())
		}
		if o.resets > 0 {
			fmt.Fprintf(out, ", %d streams reset", o.resets)
		}
		fmt.Fprintln(out)
	}
	if t.starved > 0 {
		fmt.Fprintf(out, "  the kernel ended %d agents for want of memory\n", t.starved)
	}
	if t.conflist > 0 {
		fmt.Fprintf(out, "  the conflist was back at most %d ms after its disk had room\n", t.conflist.Milliseconds())
	}
	if t.busy > 0 {
		fmt.Fprintf(out, "  the machine was busy for %s: a connection over its loopback device waited\n", t.busy.Round(100*time.Millisecond))
	}
	if t.old > 0 {
		fmt.Fprintf(out, "  %d connections were taken for earlier ones from the same port, of which a node kept an entry\n", t.old)
	}
	if t.slow > 0 {
		fmt.Fprintf(out, "  %d connections waited up to %d ms for a reason that no event explains, such as a busy machine\n", t.slow, t.slowest.Milliseconds())
	}
}
