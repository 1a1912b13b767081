// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/state"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func now() time.Time { return time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC) }

// busy returns an agent that has some of everything.
func busy() (*state.State, *state.Services) {
	since := now().Add(-26 * time.Hour)
	repair := state.Repair{Time: now().Add(-7 * time.Minute), By: "nft (pid 4711)", Found: "1 chain (services) had lost 4 rules"}
	s := &state.State{
		Protocol: state.Protocol, Time: now(), Version: "v1.2.3", Kernel: "6.12.1", Node: "worker-1", Since: since, Ready: true,
		APIServer: &state.APIServer{URL: "https://10.0.0.1:6443", Reached: &since, LastContact: new(now().Add(-3 * time.Second))},
		Table:     state.Table{InSync: true, LastInSync: new(now()), Repairs: 1, LastRepair: &repair},
		Counts:    state.Counts{Services: 3, Endpoints: 1204, Nodes: 4, Frontends: 5, Backends: 2400},
		Overlay: &state.Overlay{Mode: "vxlan", Ready: true, MTU: 1450, Probed: true, PeerCount: 3, LostCount: 1, Peers: []state.Peer{
			{Node: "worker-3", Addrs: []string{"192.0.2.3", "2001:db8::3"}, PodCIDRs: []string{"10.244.3.0/24", "fd00:10:244:3::/64"}, Missed: 4, Lost: true},
			{Node: "worker-2", Addrs: []string{"192.0.2.2"}, PodCIDRs: []string{"10.244.2.0/24"}},
			{Node: "worker-4", Addrs: []string{"192.0.2.4"}, PodCIDRs: []string{"10.244.4.0/24"}, Missed: 1},
		}},
		CNI: &state.CNI{File: "/etc/cni/net.d/05-fairlead.conflist", Written: true}, Conntrack: &state.Conntrack{Entries: 23456, Limit: 262144},
		Problems: []state.Problem{
			{Kind: "Service", Name: "default/bad", Field: "spec.clusterIP", Text: `"10.96.0.300" is not an IP address`},
			{Kind: "Node", Name: "worker-1", Field: "conntrack", Text: "the connection tracking table is 90 % full"},
		}, ProblemCount: 2, Repairs: []state.Repair{repair},
	}
	for i := range 40 {
		at := now().Add(-time.Duration(40-i) * 20 * time.Second)
		took := 0.004 + 0.003*float64(i*7%5)
		s.Programming = append(s.Programming, state.Programming{Time: at, TookSeconds: took * 20})
		s.Syncs = append(s.Syncs, state.Sync{Time: at, TookSeconds: took, Error: map[bool]string{true: "no buffer space"}[i == 20]})
	}
	s.LastSync = &s.Syncs[39]
	return s, &state.Services{
		All: 3, Found: 3, Counted: true, Rated: true, List: []state.Service{
			{Name: "default/web", Addrs: []string{"10.96.0.10", "fd00:10:96::10"}, Ports: []string{"80:30080/tcp", "443/tcp"}, Ready: 1190, Endpoints: 1200, Connections: 123456789, PerSecond: 1234.4},
			{Name: "kube-system/kube-dns", Addrs: []string{"10.96.0.53"}, Ports: []string{"53/udp", "53/tcp"}, Ready: 4, Endpoints: 4, Connections: 98765, PerSecond: 7.25},
			{Name: "shop/cart", Ready: 0, Endpoints: 0},
		},
	}
}

// TestGolden compares whole pages: of an agent with some of everything, and of one that
// has just started.
func TestGolden(t *testing.T) {
	s, list := busy()
	for name, got := range map[string][]byte{
		"busy":  Draw(s, list),
		"fresh": Draw(&state.State{Time: now(), Since: now(), Node: "worker-1", Unready: "Services are not in place yet"}, &state.Services{}),
	} {
		path := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != string(got) {
			t.Errorf("%s differs (%v): run make golden and look at the difference", path, err)
		}
	}
}

// hostile returns texts that try to become more than text.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title></td></table><script src=//evil.example/x.js></script>`,
		`javascript:alert(1)`, "\u202egnp.exe\u0007\x1b[2J", "-->]]><![CDATA[", `&lt;script&gt;`, "a\x00b\xff", strings.Repeat("<b>", 5000),
	}
}

// parsed reads a page strictly, and returns its elements with their attributes, and all
// that a person reads.
func parsed(t *testing.T, page []byte) (elements []xml.StartElement, read string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(page)))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var b strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, b.String()
		}
		if err != nil {
			t.Fatalf("the page is broken: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements = append(elements, token.Copy())
		case xml.CharData:
			b.Write(token)
		}
	}
}

// TestHostile puts every hostile text into every field, and finds the same elements and
// attributes as with friendly ones: no text became markup.
func TestHostile(t *testing.T) {
	shape := func(text string) (string, string) {
		s, list := busy()
		s.Node, s.Version, s.Kernel, s.Unready, s.Overlay.Mode = text, text, text, text, text
		s.Ready, s.APIServer.URL, s.LastSync.Error = false, text, text
		for i := range s.Problems {
			s.Problems[i] = state.Problem{Kind: text, Name: text, Field: text, Text: text}
		}
		s.Repairs[0].By, s.Repairs[0].Found = text, text
		for i := range s.Overlay.Peers {
			p := &s.Overlay.Peers[i]
			p.Node, p.Addrs, p.PodCIDRs = text, []string{text}, []string{text}
		}
		for i := range list.List {
			l := &list.List[i]
			l.Name, l.Addrs, l.Ports = text, []string{text}, []string{text}
		}
		list.Query = ParseQuery(url.Values{"q": {text}, "by": {"rate"}})
		got, read := parsed(t, Draw(s, list))
		var b strings.Builder
		for _, e := range got {
			fmt.Fprintf(&b, "%s", e.Name.Local)
			for _, a := range e.Attr {
				if a.Name.Local == "href" && strings.HasPrefix(a.Value, "?") {
					if u, err := url.Parse(a.Value); err != nil || u.Host != "" || u.Scheme != "" {
						t.Errorf("a link leads to %q", a.Value)
					}
					a.Value = "?"
				}
				if a.Name.Local == "value" && e.Name.Local == "input" {
					a.Value = ""
				}
				fmt.Fprintf(&b, " %s=%q", a.Name.Local, a.Value)
			}
			b.WriteByte('\n')
		}
		return b.String(), read
	}
	want, _ := shape("friendly")
	for _, text := range hostile() {
		got, read := shape(text)
		if got != want {
			t.Errorf("%.60q changes the page", text)
		}
		if strings.ContainsAny(read, "\x1b\x07\u202e\x00") {
			t.Errorf("%.60q reaches the reader as control characters", text)
		}
	}
}

// TestNoInline: the policy forbids scripts, styles and handlers in the document, so the
// page must have none, and load nothing from elsewhere.
func TestNoInline(t *testing.T) {
	s, list := busy()
	elements, _ := parsed(t, Draw(s, list))
	for _, e := range elements {
		for _, a := range e.Attr {
			n := a.Name.Local
			if n == "style" || strings.HasPrefix(n, "on") || (n == "src" || n == "href") && (strings.Contains(a.Value, ":") || strings.HasPrefix(a.Value, "/")) {
				t.Errorf("<%s> has %s=%q", e.Name.Local, n, a.Value)
			}
		}
		if n := e.Name.Local; n == "style" || n == "script" && (len(e.Attr) == 0 || e.Attr[0].Value != "page.js") {
			t.Errorf("<%s> %v", n, e.Attr)
		}
	}
	files, err := Assets()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page.css", "page.js", "page.svg"} {
		f, err := files.Open(name)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := io.ReadAll(f)
		if err != nil || len(text) > 16<<10 || strings.Contains(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s: %v, %d bytes, or it names another host", name, err, len(text))
		}
	}
}

// TestBounded: a page of an agent that has as much as it reports is small.
func TestBounded(t *testing.T) {
	s, _ := busy()
	list := &state.Services{All: 10000, Found: 10000, Counted: true, Rated: true}
	long := strings.Repeat("x", 5000)
	for range 500 {
		s.Problems = append(s.Problems, state.Problem{Kind: "Service", Name: long, Field: long, Text: long})
		s.Overlay.Peers = append(s.Overlay.Peers, state.Peer{Node: long, Addrs: []string{long}, PodCIDRs: []string{long}})
	}
	for range 240 {
		s.Programming = append(s.Programming, s.Programming[0])
	}
	s.ProblemCount, s.Overlay.PeerCount = 20000, 5000
	for range state.MaxServices {
		list.List = append(list.List, state.Service{Name: strings.Repeat("n", 63) + "/" + strings.Repeat("s", 63), Addrs: slices.Repeat([]string{"fd00:10:96:1234:5678:9abc:def0:1234"}, 9), Ports: slices.Repeat([]string{"65535:32767/sctp"}, 9)})
	}
	if n := len(Draw(s, list)); n > 512<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}

// TestQuery reads queries as tired people and hostile programs write them.
func TestQuery(t *testing.T) {
	for raw, want := range map[string]state.Query{
		"":                               {},
		"q=web&by=rate&from=50":          {Search: "web", Busy: true, From: 50},
		"from=-7":                        {},
		"from=99999999999999999999":      {},
		"by=x&q=%3Cb%3E":                 {Search: "<b>"},
		"q=%20web%20":                    {Search: "web"},
		"q=" + strings.Repeat("x", 9999): {Search: strings.Repeat("x", maxSearch)},
	} {
		v, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseQuery(v); got != want {
			t.Errorf("%.40s: %+v, want %+v", raw, got, want)
		}
	}
}

// TestPlot: points of any size and time stay in the area, and few points make a scale.
func TestPlot(t *testing.T) {
	for name, points := range map[string][]point{
		"one":     {{now(), 0.01, false}},
		"extreme": {{now().Add(-1000 * time.Hour), 1e-12, false}, {now().Add(time.Hour), 1e12, true}, {now(), -1, false}, {now(), 0, false}},
	} {
		p := newPlot("t", "n", now(), points)
		if len(p.Dots) != len(points) || len(p.Y) < 3 || len(p.X) != timeTicks+1 {
			t.Errorf("%s: %+v", name, p)
		}
		for _, d := range p.Dots {
			if !(d.X >= p.Left && d.X <= p.Right && d.Y >= p.Top && d.Y <= p.Bottom) {
				t.Errorf("%s: a dot at %v, %v", name, d.X, d.Y)
			}
		}
	}
}

// TestTook writes durations with three digits and a unit.
func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00 µs", 97 * time.Microsecond: "97.0 µs", 7443 * time.Microsecond: "7.44 ms", 318480 * time.Microsecond: "318 ms",
		9999 * time.Microsecond: "10.0 ms", time.Second: "1.00 s", 59 * time.Second: "59.0 s", 90 * time.Second: "1m30s", 3 * time.Hour: "3h",
	} {
		if got := took(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
