// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"strconv"

	"fairlead/bench/stat"
)

// value prints a value with two or three digits and its unit.
func value(v float64, unit string) string {
	switch unit {
	case "s":
		return scaled(v, []scale{{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}})
	case "ns":
		return scaled(v, []scale{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}})
	case "B":
		return scaled(v, []scale{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}})
	case "B/s":
		return scaled(v, []scale{{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}, {1, "B/s"}})
	case "1/s":
		return scaled(v, []scale{{1e6, "M/s"}, {1e3, "k/s"}, {1, "/s"}})
	}
	return digits(v) + " " + unit
}

type scale struct {
	one  float64
	unit string
}

// scaled picks the largest unit that is not larger than the value.
func scaled(v float64, scales []scale) string {
	pick := scales[len(scales)-1]
	for _, s := range scales {
		if math.Abs(v) >= s.one {
			pick = s
			break
		}
	}
	return digits(v/pick.one) + " " + pick.unit
}

// digits prints three digits of a number below 1000, and whole numbers above.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// spread prints a median with the quartiles.
func spread(s stat.Summary, unit string) string {
	if s.N == 0 {
		return "-"
	}
	out := value(s.Median, unit)
	if s.AtLeast {
		return "more than " + out
	}
	if s.N > 2 {
		out += fmt.Sprintf(" (%s to %s)", value(s.Q1, unit), value(s.Q3, unit))
	}
	return out
}

// ratio prints a ratio with its smallest and largest round.
func ratio(r stat.Ratio) string {
	if r.Rounds == 0 {
		return "-"
	}
	out := digits(r.Median)
	if r.AtLeast {
		return "more than " + out
	}
	if r.Rounds > 1 {
		out += fmt.Sprintf(" (%s to %s)", digits(r.Min), digits(r.Max))
	}
	return out
}
