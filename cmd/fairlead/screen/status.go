// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"io"
	"strings"
	"time"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/state"
)

// shown is the number of problems and peers that fit on a screen.
const shown = 10

// Status prints the state of one agent on one screen. With -o wide it prints all problems
// and peers.
type Status struct{ State *state.State }

// Print writes the text.
func (p Status) Print(out io.Writer, wide bool) error {
	s := p.State
	l := lines{wide: wide}
	l.add("Agent", "fairlead %s on node %s, kernel %s, runs since %s", s.Version, s.Node, s.Kernel, at(s.Time, s.Since))
	l.add("Ready", "%s", yes(s.Ready, s.Unready))
	l.apiServer(s)
	l.table(s)
	c := s.Counts
	l.add("Services", "%d Services with %d endpoints: %d frontends and %d backends in the table", c.Services, c.Endpoints, c.Frontends, c.Backends)
	if n := len(s.Programming); n > 0 {
		l.add("Latency", "half of the last %d changes of endpoints reached the kernel within %s, 99 %% within %s", n, output.Short(s.Quantile(0.5)), output.Short(s.Quantile(0.99)))
	}
	l.overlay(s)
	if s.CNI != nil {
		l.add("CNI", "%s %s", s.CNI.File, map[bool]string{true: "is in place", false: "is not in place"}[s.CNI.Written])
	}
	if t := s.Conntrack; t != nil && t.Limit > 0 {
		l.add("Conntrack", "%d of %d entries (%d %%)", t.Entries, t.Limit, 100*uint64(t.Entries)/uint64(t.Limit))
	} else if t != nil {
		l.add("Conntrack", "%d entries", t.Entries)
	}
	if c := s.SourceCheck; c != nil && c.Last != nil {
		l.add("Forged", "%d packets of pods with a source address of others were dropped, the last %s", c.Dropped, at(s.Time, *c.Last))
	} else if c != nil {
		l.add("Forged", "no packet of a pod with a source address of others since the agent runs")
	}
	l.problems(s)
	_, err := io.WriteString(out, l.text.String())
	return err //nolint:wrapcheck // the caller knows the writer
}

// lines collects the lines of a screen. It cleans what it adds.
type lines struct {
	text strings.Builder
	wide bool
}

func (l *lines) add(title, format string, args ...any) {
	fmt.Fprintf(&l.text, "%-11s %s\n", title, output.Clean(fmt.Sprintf(format, args...)))
}

// list adds indented entries, as many as fit, and says how many there are beside.
func (l *lines) list(n, all int, entry func(int) string) {
	if !l.wide {
		n = min(n, shown)
	}
	for i := range n {
		l.add("", "- %s", entry(i))
	}
	switch {
	case n == all:
	case l.wide:
		l.add("", "- and %d more, which the agent left out", all-n)
	default:
		l.add("", "- and %d more: -o wide", all-n)
	}
}

func (l *lines) apiServer(s *state.State) {
	a := s.APIServer
	switch {
	case a == nil:
		l.add("API server", "none; objects come from %s", s.Manifests)
		return
	case a.Away != nil:
		l.add("API server", "%s is unreachable since %s: %s", a.URL, at(s.Time, *a.Away), a.LastError)
	case a.Reached == nil:
		l.add("API server", "%s was not reached yet", a.URL)
	default:
		l.add("API server", "%s, reached since %s", a.URL, at(s.Time, *a.Reached))
	}
	if a.LastContact != nil {
		l.add("", "last answer %s", at(s.Time, *a.LastContact))
	}
	if len(a.Watches) > 0 {
		var parts []string
		for _, w := range a.Watches {
			part := w.Kind + " " + output.Ago(time.Duration(w.SilentSeconds*float64(time.Second)))
			if w.Revision != "" {
				part += " (revision " + w.Revision + ")"
			}
			parts = append(parts, part)
		}
		l.add("", "last event or bookmark, ago: %s", strings.Join(parts, ", "))
	}
	if a.LastErrorAt != nil && a.Away == nil {
		l.add("", "last error %s: %s", at(s.Time, *a.LastErrorAt), a.LastError)
	}
}

func (l *lines) table(s *state.State) {
	t := &s.Table
	switch {
	case t.InSync:
		l.add("Table", "in sync")
	case t.LastInSync == nil:
		l.add("Table", "not written yet")
	default:
		l.add("Table", "a change has waited for %s", output.Short(time.Duration(t.BehindSeconds*float64(time.Second))))
	}
	if last := s.LastSync; last != nil {
		text := ""
		if last.Error != "" {
			text = " and failed: " + last.Error
		}
		l.add("", "last sync %s took %s%s", at(s.Time, last.Time), output.Short(time.Duration(last.TookSeconds*float64(time.Second))), text)
	}
	if r := t.LastRepair; r != nil {
		l.add("Repairs", "%d since the agent runs; the last %s after %s changed the table: %s", t.Repairs, at(s.Time, r.Time), r.By, r.Found)
	} else {
		l.add("Repairs", "none since the agent runs")
	}
}

func (l *lines) overlay(s *state.State) {
	o := s.Overlay
	if o == nil {
		l.add("Overlay", "none; another program provides the network of pods")
		return
	}
	text := o.Mode + ", " + map[bool]string{true: "ready", false: "not ready"}[o.Ready]
	if o.MTU > 0 {
		text += fmt.Sprintf(", MTU of pods %d", o.MTU)
	}
	switch {
	case !o.Probed:
		text += fmt.Sprintf(", %d peers, which are not probed", o.PeerCount)
	case o.LostCount == 0:
		text += fmt.Sprintf(", %d peers, and all answer", o.PeerCount)
	default:
		text += fmt.Sprintf(", %d of %d peers do not answer:", o.LostCount, o.PeerCount)
	}
	l.add("Overlay", "%s", text)
	known := min(o.LostCount, len(o.Peers)) // lost peers come first
	if known > 0 {
		l.list(known, o.LostCount, func(i int) string {
			p := &o.Peers[i]
			return fmt.Sprintf("%s (%s): %d probes in a row", p.Node, strings.Join(p.Addrs, ", "), p.Missed)
		})
	}
}

func (l *lines) problems(s *state.State) {
	if s.ProblemCount == 0 {
		l.add("Problems", "none")
		return
	}
	l.add("Problems", "%d", s.ProblemCount)
	l.list(len(s.Problems), s.ProblemCount, func(i int) string { return s.Problems[i].String() })
}

func yes(ok bool, reason string) string {
	if ok {
		return "yes"
	}
	return "no: " + reason
}

// at returns a time, and how long before now it was.
func at(now, t time.Time) string {
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format("2006-01-02 15:04:05Z"), output.Ago(now.Sub(t)))
}
