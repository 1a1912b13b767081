// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"fairlead/cmd/fairlead/state"
)

// Policy is the header Content-Security-Policy of the page.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Bounds of what is drawn.
const (
	maxProblems = 50
	maxPeers    = 100
	maxRepairs  = 8
	maxText     = 400 // characters of one text
)

//go:embed assets
var assets embed.FS

// Assets returns the files that the page loads: page.css, page.js and page.svg.
func Assets() (fs.FS, error) {
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("open assets of the page: %w", err)
	}
	return files, nil
}

// Draw returns the page of an agent.
func Draw(s *state.State, services *state.Services) []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html>\n")
	el("html", attr{"lang", "en"}, head(s), el("body",
		el("header", el("div", class("bar"),
			el("span", class("brand"), el("img", attr{"src", "page.svg"}, attr{"alt", "fairlead"}, attr{"width", "22"}, attr{"height", "22"}), text("fairlead")),
			el("span", class("live"), attr{"id", "live"}, attr{"role", "status"}))),
		el("main",
			hero(s), cards(s), problems(s),
			el("section", class("plots"), live("plots"),
				newPlot("Programming latency", "from a change of endpoints in the API to the kernel", s.Time, programming(s)).draw(),
				newPlot("Time of a sync", "from waking up to the kernel's acknowledgement", s.Time, syncs(s)).draw()),
			servicePanel(services), peers(s), repairs(s)),
		el("footer",
			el("p", live("time"), text("State of "), el("time", attr{"datetime", s.Time.UTC().Format(time.RFC3339)}, text(clock(s.Time)+" UTC"))),
			el("nav", el("a", attr{"href", "state"}, text("JSON")))))).write(&b)
	return b.Bytes()
}

func head(s *state.State) part {
	title := s.Node + " · fairlead"
	if n := len(s.Faults()); n > 0 {
		title = fmt.Sprintf("(%d) %s", n, title)
	}
	return el("head",
		el("meta", attr{"charset", "utf-8"}),
		el("meta", attr{"name", "viewport"}, attr{"content", "width=device-width, initial-scale=1"}),
		el("meta", attr{"name", "color-scheme"}, attr{"content", "light dark"}),
		el("title", text(title)),
		el("link", attr{"rel", "icon"}, attr{"href", "page.svg"}, attr{"type", "image/svg+xml"}),
		el("link", attr{"rel", "stylesheet"}, attr{"href", "page.css"}),
		el("script", attr{"src", "page.js"}, attr{"defer", ""}))
}

// live marks an element that the script replaces by a newer one.
func live(name string) part { return attr{"data-live", name} }

// clock returns a time of UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
