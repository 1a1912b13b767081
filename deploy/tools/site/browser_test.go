// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// below is where the site is served: it must not depend on being at the root.
const below = "/some/place/"

// browser is a tab of a Chromium without a window, and what the tab told.
type browser struct {
	context.Context
	mu       sync.Mutex
	errors   []string
	requests []string
}

// open starts Chromium, until the test ends.
func open(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed: it is in Debian's package of that name")
		}
		t.Skip("chromium is not installed: it is in Debian's package of that name")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	// A container has no room for the sandbox, and the pages are ours.
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(cancel)
	b := &browser{}
	b.Context, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	return b
}

// hear notes what a tab reports.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, fmt.Sprintf("%s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL))
	case *runtime.EventConsoleAPICalled:
		b.errors = append(b.errors, "a page writes to the console: "+string(e.Type))
	case *log.EventEntryAdded:
		b.errors = append(b.errors, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *network.EventLoadingFailed:
		b.errors = append(b.errors, "loading failed: "+e.ErrorText)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// do has the tab do something, and fails the test if it cannot or reports an error.
func do[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b, action)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		t.Errorf("the browser reports %s", e)
	}
	b.errors = nil
	return v
}

// outside returns the requests for something that is not below prefix.
func (b *browser) outside(prefix string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if !strings.HasPrefix(r, prefix) {
			out = append(out, r)
		}
	}
	return out
}

// serve serves the site below a path of a server that has no other pages.
func serve(t *testing.T, dir string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(below, http.StripPrefix(below, http.FileServer(http.Dir(dir))))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + below
}

// view is what a page shows.
type view struct {
	Title, Heading string
	Styled         bool
	Broken         []string
}

// TestBrowser opens each page of the site in Chromium. Each has its style sheet and its
// pictures, and asks nothing of others.
func TestBrowser(t *testing.T) {
	dir := build(t)
	home := serve(t, dir)
	b := open(t)
	all := pages(t, dir)
	for at := range all {
		do(t, b, chromedp.Navigate(home+strings.TrimPrefix(at, "/")))
		seen := do(t, b, chromedp.Evaluate[view](`({
			Title: document.title,
			Heading: document.querySelector("h1")?.textContent ?? "",
			Styled: getComputedStyle(document.querySelector("#found")).listStyleType === "none",
			Broken: [...document.images].filter((i) => !i.complete || !i.naturalWidth).map((i) => i.src),
		})`))
		if seen.Title == "" || seen.Heading == "" && at != "/docs" || !seen.Styled || len(seen.Broken) > 0 {
			t.Errorf("%s: %+v", at, seen)
		}
	}
	if out := b.outside(home); len(out) > 0 || len(b.requests) < len(all) {
		t.Errorf("%d pages made %d requests, %q of other servers", len(all), len(b.requests), out)
	}
}

// search types words and returns what is found once all of them are typed. Each key finds
// something else, so an element that was found before may be gone.
func search(t *testing.T, b *browser, words string) []string {
	t.Helper()
	do(t, b, chromedp.SendKeys(chromedp.CSS("#search"), words))
	for start := time.Now(); time.Since(start) < time.Minute; <-time.After(10 * time.Millisecond) {
		now := do(t, b, chromedp.Evaluate[struct {
			Typed string
			Found []string
		}](`({
			Typed: document.querySelector("#search").value,
			Found: [...document.querySelectorAll("#found li")].map((i) => (i.querySelector("a") ?? i).textContent),
		})`))
		if now.Typed == words && len(now.Found) > 0 {
			return now.Found
		}
	}
	t.Fatalf("%q finds nothing within a minute, not even that there is nothing", words)
	return nil
}

// TestBrowserSearch types words, from a page deep in the site, and follows what is found.
func TestBrowserSearch(t *testing.T) {
	home := serve(t, build(t))
	b := open(t)
	do(t, b, chromedp.Navigate(home+"docs/install-k3s/"))
	found := search(t, b, "flannel vxlan")
	do(t, b, chromedp.Click(chromedp.CSS("#found li:first-child a")))
	var title string
	for start := time.Now(); title != found[0] && time.Since(start) < time.Minute; <-time.After(10 * time.Millisecond) {
		// While the page changes there is none to ask.
		title, _ = chromedp.Run(b, chromedp.Evaluate[string](`document.readyState === "complete" ? document.querySelector("main h1")?.textContent ?? "" : ""`))
	}
	if len(found) < 2 || title != found[0] {
		t.Errorf("%d results, the first is %q and leads to %q", len(found), found[0], title)
	}
	if none := search(t, b, "zebracrossing"); none[0] != "No page has all these words." {
		t.Errorf("a word of no page finds %q", none)
	}
	if out := b.outside(home); len(out) > 0 {
		t.Errorf("requests of other servers: %q", out)
	}
}
