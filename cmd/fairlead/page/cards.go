// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/state"
)

// card is one number with its meaning.
type card struct {
	Title, Value, Unit string
	Notes              []string
	Tone               string  // "good", "bad" or ""
	Meter              bool    // draws Share
	Share              float64 // percent
}

func hero(s *state.State) part {
	faults := s.Faults()
	verdict, tone := el("p", class("verdict"), text("All is well")), "good"
	if len(faults) > 0 {
		var list parts
		for _, f := range faults {
			list = append(list, el("li", text(f)))
		}
		verdict, tone = el("ul", class("verdict"), list), "bad"
	}
	about := fmt.Sprintf("fairlead %s, kernel %s, runs for %s", s.Version, s.Kernel, output.Ago(s.Time.Sub(s.Since)))
	return el("section", class("hero", tone), live("hero"), el("div", el("h1", text(s.Node)), el("p", class("sub"), text(about))), verdict)
}

func cards(s *state.State) part {
	var out parts
	for _, c := range []card{apiCard(s), tableCard(s), serviceCard(s), latencyCard(s), overlayCard(s), flowCard(s)} {
		out = append(out, c.draw())
	}
	return el("section", class("cards"), live("cards"), attr{"aria-label", "Overview"}, out)
}

func (c *card) draw() part {
	value := el("p", class("value"), text(c.Value))
	if c.Unit != "" {
		value.add(text(" "))
		value.add(el("small", text(c.Unit)))
	}
	out := el("div", class("card", c.Tone), el("h2", text(c.Title)), value)
	if c.Meter {
		out.add(meter(c.Share))
	}
	for _, n := range c.Notes {
		out.add(el("p", class("note"), text(n)))
	}
	return out
}

// meter draws a share in percent. The value stands beside it in words.
func meter(share float64) part {
	size := func(width float64) part { return parts{attr{"width", number(round(width))}, attr{"height", "4"}} }
	return el("svg", class("meter"), attr{"viewBox", "0 0 100 4"}, attr{"preserveAspectRatio", "none"}, attr{"aria-hidden", "true"},
		el("rect", class("track"), size(100)), el("rect", class("fill"), size(share)))
}

func apiCard(s *state.State) card {
	c := card{Title: "API server"}
	a := s.APIServer
	switch {
	case a == nil:
		c.Value, c.Notes = "none", []string{"objects come from files"}
		return c
	case a.Away != nil:
		c.Value, c.Tone = "away", "bad"
		c.Notes = []string{"for " + output.Ago(s.Time.Sub(*a.Away))}
	case a.Reached == nil:
		c.Value, c.Tone = "not reached", "bad"
	default:
		c.Value, c.Tone = "reached", "good"
		c.Notes = []string{"for " + output.Ago(s.Time.Sub(*a.Reached))}
	}
	if a.LastContact != nil {
		c.Notes = append(c.Notes, "last answer "+output.Ago(s.Time.Sub(*a.LastContact))+" ago")
	}
	return c
}

func tableCard(s *state.State) card {
	c := card{Title: "Table", Value: "in sync", Tone: "good"}
	switch t := &s.Table; {
	case t.InSync:
	case t.LastInSync == nil:
		c.Value, c.Tone = "not written", "bad"
	default:
		c.Value, c.Tone = "behind", "bad"
		c.Notes = append(c.Notes, "a change waits for "+took(seconds(t.BehindSeconds)))
	}
	if l := s.LastSync; l != nil {
		if l.Error != "" {
			c.Tone = "bad"
			c.Notes = append(c.Notes, "the last sync failed")
		}
		c.Notes = append(c.Notes, "last sync "+output.Ago(s.Time.Sub(l.Time))+" ago")
	}
	c.Notes = append(c.Notes, plural(s.Table.Repairs, "repair"))
	return c
}

func serviceCard(s *state.State) card {
	return card{Title: "Services", Value: count(s.Counts.Services), Notes: []string{
		plural(s.Counts.Endpoints, "endpoint"), plural(s.Counts.Frontends, "frontend") + ", " + plural(s.Counts.Backends, "backend"),
	}}
}

func latencyCard(s *state.State) card {
	c := card{Title: "Latency", Value: "–"}
	n := len(s.Programming)
	if n == 0 {
		c.Notes = []string{"no change of endpoints yet"}
		return c
	}
	c.Value, c.Unit = digits(s.Quantile(0.5))
	c.Notes = []string{"99 % within " + took(s.Quantile(0.99)), "of the last " + plural(n, "change")}
	return c
}

func overlayCard(s *state.State) card {
	c := card{Title: "Overlay", Value: "none"}
	o := s.Overlay
	if o == nil {
		c.Notes = []string{"another program connects pods"}
		return c
	}
	c.Value, c.Tone = o.Mode, "good"
	if !o.Ready || o.LostCount > 0 {
		c.Tone = "bad"
	}
	if !o.Ready {
		c.Notes = append(c.Notes, "not ready")
	}
	switch {
	case !o.Probed:
		c.Notes = append(c.Notes, plural(o.PeerCount, "peer")+", not probed")
	case o.LostCount > 0:
		c.Notes = append(c.Notes, fmt.Sprintf("%s of %s do not answer", count(o.LostCount), plural(o.PeerCount, "peer")))
	default:
		c.Notes = append(c.Notes, plural(o.PeerCount, "peer")+", all answer")
	}
	if o.MTU > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("MTU %d bytes", o.MTU))
	}
	if s.CNI != nil && !s.CNI.Written {
		c.Tone = "bad"
		c.Notes = append(c.Notes, "CNI file not in place")
	}
	return c
}

func flowCard(s *state.State) card {
	c := card{Title: "Conntrack", Value: "–"}
	f := s.Conntrack
	switch {
	case f == nil:
	case f.Limit == 0:
		c.Value, c.Unit = count(f.Entries), "entries"
	default:
		share := 100 * float64(f.Entries) / float64(f.Limit)
		c.Meter, c.Share, c.Unit = true, min(share, 100), "%"
		c.Value = fmt.Sprintf("%.*f", map[bool]int{true: 1}[share < 10], share)
		c.Notes = []string{fmt.Sprintf("%s of %s entries", count(f.Entries), count(f.Limit))}
		if share > 80 {
			c.Tone = "bad"
		}
	}
	return c
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// digits returns a duration as a number of three digits and its unit. From a minute on the
// units are in the number.
func digits(d time.Duration) (number, unit string) {
	switch {
	case d >= time.Minute:
		return output.Ago(d), ""
	case d >= time.Second:
		return three(d.Seconds()), "s"
	case d >= time.Millisecond:
		return three(d.Seconds() * 1e3), "ms"
	}
	return three(d.Seconds() * 1e6), "µs"
}

func three(v float64) string {
	places := 2
	for limit := 9.995; places > 0 && v >= limit; limit *= 10 {
		places--
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

func took(d time.Duration) string {
	number, unit := digits(d)
	return strings.TrimSpace(number + " " + unit)
}

// count returns a number with a comma at each thousand.
func count[T int | uint32 | uint64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
