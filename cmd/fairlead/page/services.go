// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"fairlead/cmd/fairlead/state"
)

// maxSearch is the length of the longest text to search for, in bytes.
const maxSearch = 256

// ParseQuery reads the query parameters of the page. It takes what it can.
func ParseQuery(v url.Values) state.Query {
	text := v.Get("q")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxSearch)], ""))
	q := state.Query{Search: strings.TrimSpace(text), Busy: v.Get("by") == "rate"}
	if n, err := strconv.Atoi(v.Get("from")); err == nil && n > 0 {
		q.From = n
	}
	return q
}

// link returns the link to the page with a query.
func link(q state.Query) string {
	v := url.Values{}
	if q.Search != "" {
		v.Set("q", q.Search)
	}
	if q.Busy {
		v.Set("by", "rate")
	}
	if q.From > 0 {
		v.Set("from", strconv.Itoa(q.From))
	}
	return "?" + v.Encode() + "#services"
}

func servicePanel(s *state.Services) part {
	badge := count(s.All)
	if s.Found != s.All {
		badge = count(s.Found) + " of " + badge
	}
	return el("section", class("panel"), attr{"id", "services"},
		el("div", class("head"), el("h2", text("Services")), el("span", class("badge"), live("found"), text(badge)),
			el("form", attr{"method", "get"}, attr{"action", "./#services"}, attr{"role", "search"},
				when(s.Busy, el("input", attr{"type", "hidden"}, attr{"name", "by"}, attr{"value", "rate"})),
				el("input", attr{"type", "search"}, attr{"name", "q"}, attr{"value", s.Search}, attr{"placeholder", "Name or address"},
					attr{"aria-label", "Search Services"}, attr{"maxlength", strconv.Itoa(maxSearch)}, attr{"autocomplete", "off"}, attr{"spellcheck", "false"}),
				el("button", text("Search")))),
		el("div", live("services"), serviceTable(s),
			when(!s.Counted, more(text("Rates appear with the flag "), code("--backend-counters"), text(".")))))
}

func anchor(q state.Query, word string) part { return el("a", attr{"href", link(q)}, text(word)) }

func serviceTable(s *state.Services) part {
	all := anchor(state.Query{Busy: s.Busy}, "All Services")
	switch {
	case len(s.List) > 0:
	case s.Search != "":
		return empty(text("No name and no address of a Service contains “"+s.Search+"”. "), all)
	case s.All > 0:
		return empty(text("There are no more Services. "), all)
	default:
		return empty(text("There is no Service yet."))
	}
	most := 0.0
	for i := range s.List {
		most = max(most, s.List[i].PerSecond)
	}
	var rows []part
	for i := range s.List {
		rows = append(rows, serviceRow(s, &s.List[i], most))
	}
	first, last := s.From+1, s.From+len(s.List)
	earlier, later := s.Query, s.Query
	earlier.From, later.From = max(0, s.From-state.MaxServices), last
	return parts{
		table(serviceTitles(s), rows),
		el("p", class("more", "pages"), el("span", text(count(first)+" to "+count(last)+" of "+count(s.Found))),
			when(s.Search != "", all), when(s.From > 0, anchor(earlier, "Previous")), when(last < s.Found, anchor(later, "Next"))),
	}
}

func serviceTitles(s *state.Services) []part {
	numeric := func(sorted bool, list ...part) part {
		return el("th", class("num"), when(sorted, attr{"aria-sort", "descending"}), parts(list))
	}
	name := el("th", when(!s.Busy, attr{"aria-sort", "ascending"}), text("Service"))
	if s.Busy {
		name = el("th", anchor(state.Query{Search: s.Search}, "Service"))
	}
	out := append([]part{name}, titles("Addresses", "Ports")...)
	out = append(out, numeric(false, text("Endpoints ready")))
	if !s.Counted {
		return out
	}
	rates := part(text("per second"))
	if !s.Busy {
		rates = anchor(state.Query{Search: s.Search, Busy: true}, "per second")
	}
	return append(out, numeric(false, text("Connections")), numeric(s.Busy, rates))
}

// serviceRow returns a row. The meter is full at the rate most.
func serviceRow(s *state.Services, svc *state.Service, most float64) part {
	tone := ""
	if svc.Ready == 0 {
		tone = "bad"
	}
	addrs := words(svc.Addrs)
	if len(svc.Addrs) == 0 {
		addrs = el("span", class("faint"), text("none"))
	}
	row := el("tr", cell("Service", "", text(svc.Name)), cell("Addresses", "code", addrs), cell("Ports", "code", words(svc.Ports)),
		cell("Endpoints ready", "num", el("span", el("span", class(tone), text(count(svc.Ready))), el("span", class("faint"), text(" / "+count(svc.Endpoints))))))
	if !s.Counted {
		return row
	}
	now, share := "–", 0.0
	if s.Rated {
		now = rate(svc.PerSecond)
	}
	if most > 0 {
		share = 100 * svc.PerSecond / most
	}
	row.add(cell("Connections", "num", text(count(svc.Connections))))
	row.add(cell("Connections per second", "num rate", text(now), meter(share)))
	return row
}

// rate returns a rate with three digits.
func rate(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 9.95:
		return fmt.Sprintf("%.1f", r)
	}
	return count(uint64(r + 0.5))
}
