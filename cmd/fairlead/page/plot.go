// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"math"
	"slices"
	"time"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/state"
)

// Sizes of a plot in units of its view box.
const (
	plotWidth, plotHeight    = 560.0, 220.0
	plotLeft, plotRight      = 58.0, 42.0
	plotTop, plotBottom      = 12.0, 26.0
	plotFirst, plotLast      = 1e-5, 1e4 // seconds that the scale may show
	shortestSpan             = 20 * time.Second
	timeTicks                = 4
	quantileHigh, quantileLo = 0.99, 0.5
)

// plot is a diagram of durations over time, with a logarithmic scale.
type plot struct {
	Title, Note string
	Left, Right float64 // of the area
	Top, Bottom float64
	Y, X        []tick
	Dots        []dot
	Marks       []mark
	Text        string // what it shows, in words
}

type tick struct {
	At    float64
	Label string
}

type dot struct {
	X, Y  float64
	Label string
	Bad   bool
}

// mark is a line at a quantile.
type mark struct {
	Y     float64
	Label string
}

// point is a duration at a time.
type point struct {
	at   time.Time
	took float64 // seconds
	bad  bool
}

func programming(s *state.State) []point {
	out := make([]point, len(s.Programming))
	for i, p := range s.Programming {
		out[i] = point{p.Time, p.TookSeconds, false}
	}
	return out
}

func syncs(s *state.State) []point {
	out := make([]point, len(s.Syncs))
	for i, p := range s.Syncs {
		out[i] = point{p.Time, p.TookSeconds, p.Error != ""}
	}
	return out
}

func newPlot(title, note string, now time.Time, points []point) *plot {
	p := &plot{
		Title: title, Note: note,
		Left: plotLeft, Right: plotWidth - plotRight, Top: plotTop, Bottom: plotHeight - plotBottom,
	}
	if len(points) == 0 {
		return p
	}
	low, high, first := math.Inf(1), 0.0, now
	values := make([]float64, len(points))
	for i := range points {
		points[i].took = min(max(points[i].took, plotFirst), plotLast)
		values[i] = points[i].took
		low, high = min(low, values[i]), max(high, values[i])
		if points[i].at.Before(first) {
			first = points[i].at
		}
	}
	floor, ceil := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if ceil-floor < 2 { // at least two decades, so that noise does not look like news
		ceil = floor + 2
	}
	y := func(v float64) float64 {
		return round(p.Bottom - (math.Log10(v)-floor)/(ceil-floor)*(p.Bottom-p.Top))
	}
	for e := floor; e <= ceil; e++ {
		v := math.Pow(10, e)
		p.Y = append(p.Y, tick{y(v), tickLabel(v)})
	}
	span := max(now.Sub(first), shortestSpan)
	x := func(t time.Time) float64 {
		share := 1 - float64(now.Sub(t))/float64(span)
		return round(p.Left + min(max(share, 0), 1)*(p.Right-p.Left))
	}
	for i := range timeTicks + 1 {
		t := now.Add(-span * time.Duration(timeTicks-i) / timeTicks)
		p.X = append(p.X, tick{x(t), timeLabel(now.Sub(t))})
	}
	for _, v := range points {
		p.Dots = append(p.Dots, dot{x(v.at), y(v.took), v.at.UTC().Format("15:04:05") + " took " + took(seconds(v.took)), v.bad})
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[min(int(q*float64(len(values))), len(values)-1)] }
	half, most := at(quantileLo), at(quantileHigh)
	p.Marks = []mark{{y(half), "50 %"}}
	if y(half)-y(most) > 12 { // or the labels cover each other
		p.Marks = append(p.Marks, mark{y(most), "99 %"})
	}
	p.Text = fmt.Sprintf("%d values in %s; half of them within %s, 99 %% within %s", len(points), about(span), took(seconds(half)), took(seconds(most)))
	return p
}

func (p *plot) draw() part {
	figure := el("figure", class("panel", "plot"), el("figcaption", el("h2", text(p.Title)), el("p", class("note"), text(p.Note))))
	if len(p.Dots) == 0 {
		figure.add(empty(text("Nothing yet.")))
		return figure
	}
	xy := func(x, y string, atX, atY float64) part { return parts{attr{x, number(atX)}, attr{y, number(atY)}} }
	svg := el("svg", attr{"viewBox", fmt.Sprintf("0 0 %g %g", plotWidth, plotHeight)}, attr{"role", "img"}, attr{"aria-label", p.Title + ": " + p.Text})
	across := func(kind string, y float64) {
		svg.add(el("line", class(kind), xy("x1", "y1", p.Left, y), xy("x2", "y2", p.Right, y)))
	}
	for _, t := range p.Y {
		across("grid", t.At)
		svg.add(el("text", class("ylabel"), xy("x", "y", p.Left, t.At), xy("dx", "dy", -8, 4), text(t.Label)))
	}
	for i, t := range p.X {
		end := ""
		switch i {
		case 0:
			end = "first"
		case len(p.X) - 1:
			end = "last"
		}
		svg.add(el("text", class("xlabel", end), xy("x", "y", t.At, p.Bottom), attr{"dy", "18"}, text(t.Label)))
	}
	for _, d := range p.Dots {
		tone := ""
		if d.Bad {
			tone = "bad"
		}
		svg.add(el("circle", class(tone), xy("cx", "cy", d.X, d.Y), attr{"r", "2.6"}, el("title", text(d.Label))))
	}
	for _, m := range p.Marks {
		across("mark", m.Y)
		svg.add(el("text", class("marklabel"), xy("x", "y", p.Right, m.Y), xy("dx", "dy", 8, 4), text(m.Label)))
	}
	figure.add(svg)
	figure.add(el("p", class("note"), text(p.Text)))
	return figure
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// tickLabel returns a power of ten of seconds.
func tickLabel(v float64) string {
	switch {
	case v >= 0.999:
		return fmt.Sprintf("%.0f s", v)
	case v >= 0.000999:
		return fmt.Sprintf("%.0f ms", v*1e3)
	}
	return fmt.Sprintf("%.0f µs", v*1e6)
}

func timeLabel(ago time.Duration) string {
	if ago < time.Second {
		return "now"
	}
	return "−" + about(ago)
}

// about returns a span of time.
func about(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return output.Ago(d)
}
