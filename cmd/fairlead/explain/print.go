// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"strings"

	"fairlead/cmd/fairlead/output"
)

// maxUnused bounds the unused endpoints that are printed without -o wide.
const maxUnused = 20

// Print writes the report for people: first what is wrong and what to do, then the way of
// connections to each address.
func (r *Report) Print(out io.Writer, wide bool) error {
	w := &printer{out: out}
	head := r.Subject
	if r.Kind != "" {
		head += " (" + r.Kind + ")"
	}
	w.line(0, "%s", head)
	if len(r.Findings) == 0 {
		w.line(0, "Nothing is wrong that this command sees. If connections fail, rules of other programs may drop them:")
		w.line(0, "see fairlead check, and follow real packets with fairlead trace %s.", r.Subject)
	}
	for i, f := range r.Findings {
		w.line(0, "")
		w.line(0, "%d. %s [%s]", i+1, f.Text, f.Code)
		if f.Remedy != "" {
			w.line(3, "To do: %s", f.Remedy)
		}
	}
	for i := range r.Paths {
		w.path(&r.Paths[i], wide)
	}
	if r.LeftOut > 0 {
		w.line(0, "")
		w.line(0, "%d further addresses of the Service are left out.", r.LeftOut)
	}
	w.unused(r.Unused, wide)
	for _, m := range r.Missing {
		w.line(0, "")
		w.line(0, "%s", m)
	}
	return w.err
}

// printer writes clean lines.
type printer struct {
	out io.Writer
	err error
}

func (w *printer) line(indent int, format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.out, strings.Repeat(" ", indent)+output.Clean(fmt.Sprintf(format, args...)))
	}
}

func (w *printer) path(p *Path, wide bool) {
	w.line(0, "")
	from := p.From
	if p.Source != "" && p.Source != p.From {
		from += " (" + p.Source + ")"
	}
	w.line(0, "%s, from %s", p.To, from)
	w.line(2, "%s", p.Summary)
	for _, s := range p.Steps {
		w.step(4, &s)
	}
	for i := range p.Backends {
		b := &p.Backends[i]
		if i == maxUnused && !wide {
			w.line(4, "%d more; -o wide prints all.", len(p.Backends)-i)
			break
		}
		w.line(2, "-> %s", b.words(p.Result))
		for _, s := range b.Steps {
			if wide || !strings.Contains(s.Rule, "numgen") {
				w.step(6, &s)
			}
		}
	}
}

func (w *printer) step(indent int, s *Step) {
	w.line(indent, "%s", s.Text)
	w.line(indent+4, "chain %s: %s", s.Chain, s.Rule)
	if s.Element != "" {
		w.line(indent+4, "%s has { %s }", s.Set, s.Element)
	}
}

// words describes a backend on one line.
func (b *Backend) words(result string) string {
	e := Endpoint{Address: b.Address, Pod: b.Pod, Node: b.Node}
	s := e.where()
	if result == Translated {
		s = percent(b.Share) + " to " + s
	}
	switch {
	case b.Masquerade != "":
		s += ", which sees " + b.Masquerade + " (masquerade)"
	case result == Translated:
		s += ", which sees the client"
	}
	return s + "; " + b.Hop.words()
}

func (w *printer) unused(list []Endpoint, wide bool) {
	if len(list) == 0 {
		return
	}
	w.line(0, "")
	w.line(0, "Endpoints that no client of this node gets:")
	for i := range list {
		if i == maxUnused && !wide {
			w.line(2, "%d more; -o wide prints all.", len(list)-i)
			return
		}
		e := &list[i]
		w.line(2, "%s of %s: %s", e.where(), e.Service, e.Unused.Text)
	}
}
