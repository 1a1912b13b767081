// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"fairlead/bench/stat"
)

// Chart is a plot of several metrics beside each other, at the largest size that was
// measured.
type Chart struct {
	File    string // without extension
	Title   string
	Part    string
	Prefix  string  // of the metrics that are shown; the rest of their names is the label
	Axis    string  // of the values
	Unit    float64 // of the axis in that of the samples
	Decades bool    // the axis is logarithmic
}

// Draw writes a chart as SVG and PNG into dir. It draws nothing without samples.
func (c Chart) Draw(dir string, set *stat.Set) error {
	sizes := set.Sizes(c.Part)
	if len(sizes) == 0 {
		return nil
	}
	size := sizes[len(sizes)-1]
	meant := func(x *stat.Sample) bool {
		return x.Part == c.Part && x.Services == size && strings.HasPrefix(x.Metric, c.Prefix)
	}
	metrics, labels := c.metrics(set, meant)
	who := subjects(set, meant)
	if len(who) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = c.Title, c.Axis
	if size > 0 {
		p.Title.Text += fmt.Sprintf(", %d Services", size)
	}
	p.Add(plotter.NewGrid())
	for i, s := range who {
		if err := c.subject(p, set, size, metrics, s, i, len(who)); err != nil {
			return err
		}
	}
	p.NominalX(labels...)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	p.Legend.Top, p.Legend.Left = true, true
	if c.Decades {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
		p.Y.Max *= 8 // room for the legend
	} else {
		p.Y.Min = 0
		p.Y.Max *= 1.4
	}
	return saveAs(p, dir, c.File)
}

// metrics are those that are meant, in the order in which they were measured, with labels.
func (c Chart) metrics(set *stat.Set, meant func(*stat.Sample) bool) (names, labels []string) {
	for i := range set.Samples {
		if x := &set.Samples[i]; meant(x) && !slices.Contains(names, x.Metric) {
			names = append(names, x.Metric)
			labels = append(labels, wrapped(strings.TrimSpace(strings.TrimPrefix(x.Metric, c.Prefix))))
		}
	}
	return names, labels
}

// wrapped has lines of at most 20 letters, but for longer words.
func wrapped(text string) string {
	var out strings.Builder
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case width == 0:
		case width+1+len(word) > 20:
			out.WriteByte('\n')
			width = 0
		default:
			out.WriteByte(' ')
			width++
		}
		out.WriteString(word)
		width += len(word)
	}
	return out.String()
}

// subject adds the i-th of n subjects: a point for each metric, with quartiles as bars.
func (c Chart) subject(p *plot.Plot, set *stat.Set, size int, metrics []string, name string, i, n int) error {
	var pts points
	for x, m := range metrics {
		s := stat.Summarize(set.Of(stat.Key{Part: c.Part, Metric: m, Subject: name, Services: size}))
		if s.N == 0 {
			continue
		}
		at := float64(x) + (float64(i)-float64(n-1)/2)*0.15
		pts.XYs = append(pts.XYs, plotter.XY{X: at, Y: s.Median / c.Unit})
		pts.YErrors = append(pts.YErrors, struct{ Low, High float64 }{Low: min(s.Median-s.Q1, s.Median*0.999) / c.Unit, High: (s.Q3 - s.Median) / c.Unit})
	}
	dots, err := plotter.NewScatter(pts)
	if err != nil {
		return fmt.Errorf("draw %s: %w", c.File, err)
	}
	bars, err := plotter.NewYErrorBars(pts)
	if err != nil {
		return fmt.Errorf("draw %s: %w", c.File, err)
	}
	dots.Color, bars.Color = palette(i), palette(i)
	dots.Radius, dots.Shape = vg.Points(4), draw.CircleGlyph{}
	p.Add(dots, bars)
	p.Legend.Add(name, dots)
	return nil
}
