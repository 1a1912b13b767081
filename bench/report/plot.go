// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"image/color"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"fairlead/bench/stat"
)

// Figure is a plot of one metric against the number of Services.
type Figure struct {
	File   string // without extension
	Title  string
	Part   string
	Metric string
	Axis   string  // of the values
	Unit   float64 // of the axis in that of the samples: 1e-3 shows seconds as ms
}

// palette is that of Okabe and Ito, which people with colour blindness can tell apart.
func palette(i int) color.RGBA {
	list := []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}}
	return list[i%len(list)]
}

// Draw writes a figure as SVG and PNG into dir. It draws nothing without samples.
func (f Figure) Draw(dir string, set *stat.Set) error {
	subjects := f.subjects(set)
	if len(subjects) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.Title, "Services", f.Axis
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = sizes(set.Sizes(f.Part)), powers{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for i, s := range subjects {
		if err := f.line(p, set, s, palette(i), draw.CircleGlyph{}); err != nil {
			return err
		}
	}
	p.Y.Max *= 4 // room for the legend
	return saveAs(p, dir, f.File)
}

// saveAs writes a plot as SVG and PNG.
func saveAs(p *plot.Plot, dir, file string) error {
	for _, t := range []*font.Length{&p.Title.TextStyle.Font.Size, &p.X.Label.TextStyle.Font.Size, &p.Y.Label.TextStyle.Font.Size, &p.Legend.TextStyle.Font.Size} {
		*t = vg.Points(11)
	}
	for _, ext := range []string{".svg", ".png"} {
		if err := p.Save(16*vg.Centimeter, 10*vg.Centimeter, filepath.Join(dir, file+ext)); err != nil {
			return fmt.Errorf("draw %s: %w", file, err)
		}
	}
	return nil
}

// subjects are those with samples of the metric, ours first.
func (f Figure) subjects(set *stat.Set) []string {
	return subjects(set, func(x *stat.Sample) bool { return x.Part == f.Part && x.Metric == f.Metric })
}

// subjects are those of the samples that are meant, ours first.
func subjects(set *stat.Set, meant func(*stat.Sample) bool) (out []string) {
	for i := range set.Samples {
		if x := &set.Samples[i]; meant(x) && x.Value > 0 && !slices.Contains(out, x.Subject) {
			out = append(out, x.Subject)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		switch {
		case a == ours:
			return -1
		case b == ours:
			return 1
		case a < b:
			return -1
		}
		return 1
	})
	return out
}

// points are medians with bars from the smallest to the largest sample.
type points struct {
	plotter.XYs
	plotter.YErrors
}

func (f Figure) line(p *plot.Plot, set *stat.Set, subject string, c color.RGBA, glyph draw.GlyphDrawer) error {
	var pts points
	for _, size := range set.Sizes(f.Part) {
		s := stat.Summarize(set.Of(stat.Key{Part: f.Part, Metric: f.Metric, Subject: subject, Services: size}))
		if s.N == 0 {
			continue
		}
		pts.XYs = append(pts.XYs, plotter.XY{X: float64(max(size, 1)), Y: s.Median / f.Unit})
		// The lower bar of a logarithmic axis must not reach 0.
		pts.YErrors = append(pts.YErrors, struct{ Low, High float64 }{Low: min(s.Median-s.Min, s.Median*0.999) / f.Unit, High: (s.Max - s.Median) / f.Unit})
	}
	if len(pts.XYs) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(pts)
	if err != nil {
		return fmt.Errorf("draw %s: %w", f.File, err)
	}
	bars, err := plotter.NewYErrorBars(pts)
	if err != nil {
		return fmt.Errorf("draw %s: %w", f.File, err)
	}
	line.Color, dots.Color, bars.Color = c, c, c
	line.Width, dots.Shape = vg.Points(1.5), glyph
	p.Add(line, dots, bars)
	p.Legend.Add(subject, line, dots)
	return nil
}

// sizes are ticks at the sizes that were measured.
type sizes []int

// Ticks implements plot.Ticker.
func (s sizes) Ticks(_, _ float64) (out []plot.Tick) {
	for _, n := range s {
		label := strconv.Itoa(n)
		if n >= 1000 && n%1000 == 0 {
			label = strconv.Itoa(n/1000) + "k"
		}
		out = append(out, plot.Tick{Value: float64(max(n, 1)), Label: label})
	}
	return out
}

// powers are ticks at the powers of ten, in plain digits.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(low, high float64) (out []plot.Tick) {
	for _, t := range (plot.LogTicks{Prec: -1}).Ticks(low, high) {
		if t.Label != "" {
			t.Label = strconv.FormatFloat(t.Value, 'f', -1, 64)
		}
		out = append(out, t)
	}
	return out
}
