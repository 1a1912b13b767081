// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"slices"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/state"
)

// panel is a part of the page that has a title and a badge. An empty one stays in the
// page, without being seen, so that the script can fill it.
func panel(name, title, badge string, bad bool, body ...part) part {
	if len(body) == 0 {
		return el("section", live(name), attr{"hidden", ""})
	}
	tone := ""
	if bad {
		tone = "bad"
	}
	return el("section", class("panel"), live(name),
		el("div", class("head"), el("h2", text(title)), el("span", class("badge", tone), text(badge))), parts(body))
}

// table returns a table with titles that end in their own elements.
func table(titles []part, rows []part) part {
	return el("table", el("thead", el("tr", parts(titles))), el("tbody", parts(rows)))
}

func titles(names ...string) []part {
	var out []part
	for _, n := range names {
		out = append(out, el("th", text(n)))
	}
	return out
}

// cell is a field of a row. Its title is shown where a screen is too narrow for a table.
func cell(title, classes string, list ...part) part {
	return el("td", class(classes), attr{"data-label", title}, parts(list))
}

// words returns each text in an element that does not break.
func words(list []string) part {
	var out parts
	for i, w := range list {
		if i > 0 {
			out = append(out, text(" "))
		}
		out = append(out, el("span", text(w)))
	}
	return out
}

func more(list ...part) part { return el("p", class("more"), parts(list)) }

func empty(list ...part) part { return el("p", class("empty"), parts(list)) }

func code(s string) part { return el("code", text(s)) }

func problems(s *state.State) part {
	if s.ProblemCount == 0 {
		return panel("problems", "", "", false)
	}
	list := s.Problems[:min(len(s.Problems), maxProblems)]
	var rows []part
	for i := range list {
		p := &list[i]
		rows = append(rows, el("tr",
			cell("Object", "", el("span", class("kind"), text(p.Kind)), text(" "+p.Name)),
			cell("Field", "code", text(p.Field)), cell("Problem", "wide", text(p.Text))))
	}
	n := s.ProblemCount - len(list)
	return panel("problems", "Problems", count(s.ProblemCount), true, table(titles("Object", "Field", "What is wrong"), rows),
		when(n > 0, more(text("and "+count(n)+" more: "), code("fairlead status -o wide"))))
}

func peers(s *state.State) part {
	o := s.Overlay
	if o == nil {
		return panel("peers", "", "", false)
	}
	badge := count(o.PeerCount)
	if o.LostCount > 0 {
		badge = count(o.LostCount) + " of " + badge + " lost"
	}
	if len(o.Peers) == 0 {
		return panel("peers", "Peers", badge, false, empty(text("There is no other node.")))
	}
	list := o.Peers[:min(len(o.Peers), maxPeers)]
	var rows []part
	for i := range list {
		p := &list[i]
		answer, tone := reach(o, p)
		rows = append(rows, el("tr",
			cell("Node", "", text(p.Node)), cell("Addresses", "code", words(p.Addrs)), cell("Pods", "code", words(p.PodCIDRs)),
			cell("Reachability", "", el("span", el("span", class("dot", tone)), text(answer)))))
	}
	n := o.PeerCount - len(list)
	return panel("peers", "Peers", badge, o.LostCount > 0, table(titles("Node", "Addresses", "Pods", "Reachability"), rows),
		when(n > 0, more(text("and "+count(n)+" more, first those that do not answer: "), code("fairlead get nodes"))))
}

func reach(o *state.Overlay, p *state.Peer) (answer, tone string) {
	switch {
	case p.Lost:
		return fmt.Sprintf("no answer to %d probes", p.Missed), "bad"
	case !o.Probed:
		return "not probed", ""
	case p.Missed > 0:
		return fmt.Sprintf("missed %d", p.Missed), ""
	}
	return "answers", "good"
}

func repairs(s *state.State) part {
	if len(s.Repairs) == 0 {
		return panel("repairs", "Repairs", "0", false, empty(text("No other program has changed the table since the agent runs.")))
	}
	var rows []part
	for _, r := range slices.Backward(s.Repairs[max(0, len(s.Repairs)-maxRepairs):]) {
		rows = append(rows, el("tr",
			cell("Time, UTC", "code", el("span", text(clock(r.Time))), text(" "), el("span", class("faint"), text(output.Ago(s.Time.Sub(r.Time))+" ago"))),
			cell("Changed by", "", text(r.By)), cell("Repaired", "wide", text(r.Found))))
	}
	return panel("repairs", "Repairs", count(s.Table.Repairs), false, table(titles("Time, UTC", "Changed by", "What was repaired"), rows))
}
