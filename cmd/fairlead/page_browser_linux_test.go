// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// screenshots is where make screenshots wants the pictures of docs.
var screenshots = flag.String("screenshots", "", "directory for screenshots of the status page")

// chromium opens url without a window, and returns what it prints and its log.
func chromium(t *testing.T, url string, args ...string) (out, log string) {
	t.Helper()
	name, err := exec.LookPath("chromium")
	if err != nil {
		nstest.Skip(t, "chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	home := t.TempDir()
	// A user namespace has no room for the sandbox's own; the page comes from the test.
	cmd := exec.CommandContext(ctx, name, slices.Concat([]string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--user-data-dir=" + home, "--enable-logging=stderr",
	}, args, []string{url})...)
	cmd.Env = append(cmd.Environ(), "HOME="+home)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, &stderr)
	}
	return stdout.String(), stderr.String()
}

// front forwards to the page as fairlead ui does. It can leave out the script, and calls
// loaded after each page.
type front struct {
	mu       sync.Mutex
	forward  http.Handler
	noScript bool
	loaded   func()
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	noScript, loaded := f.noScript, f.loaded
	f.mu.Unlock()
	if noScript && r.URL.Path == "/page.js" {
		http.NotFound(w, r)
		return
	}
	f.forward.ServeHTTP(w, r)
	if loaded != nil && r.URL.Path == "/" && r.URL.Query().Get("key") == "" {
		loaded()
	}
}

func (f *front) set(noScript bool, loaded func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noScript, f.loaded = noScript, loaded
}

// troubled is a cluster in which something of everything happens: traffic, rollouts,
// problems with hostile names, and a repair.
func troubled(t *testing.T) (w *world.World, agent *ask.Client) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	opts := worldOf(t, lab.Config{Nodes: 4, IPv6: true, NoPodRoutes: true}, "--backend-counters", "--probe-peers", "1s", "--socket-dir", dir)
	w, err := world.New(t.Context(), opts, 6)
	testWorld(t, w, err)
	w.Web.Name = "shop"
	more := map[string]byte{"cart": 21, "checkout": 22, "payments": 23, "search": 24}
	for name, n := range more {
		s := w.Web
		s.Name, s.NodePort, s.ClusterIPs, s.Endpoints = name, 0, world.VIPs(opts.Lab, int(n)), s.Endpoints[:n%4+2]
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	hostile := "apiVersion: v1\nkind: Service\nmetadata: {name: \"<script>document.title='hacked'</script>\", namespace: default, annotations: {a: '<img src=x onerror=alert(1)>'}}\n" +
		"spec: {clusterIP: \"10.96.0.300\", ports: [{port: 80}]}\n" +
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: legacy, namespace: default}\nspec: {clusterIP: 10.96.0.21, ports: [{port: 80}]}\n"
	if err := errors.Join(world.WriteManifest(w.Manifests, "hostile.yaml", hostile), w.StartAgents(), w.WaitAgents(t.Context(), w.Web)); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	if err := node.NS.Do(func() (err error) { agent, err = ask.Open(dir); return err }); err != nil {
		t.Fatal(err)
	}
	flush := nstest.Command(t, node.NS, "nft", "flush", "chain", "inet", "fairlead", "services")
	if out, err := flush.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for name, n := range more {
		at := inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, n}), Port: 80, Proto: inet.TCP}
		done.Go(func() { load(ctx, node, at, time.Duration(len(name))*3*time.Millisecond) })
	}
	t.Cleanup(func() { cancel(); done.Wait() })
	return w, agent
}

// load dials until ctx is done.
func load(ctx context.Context, from *lab.Node, at inet.Addr, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, _ = from.Dial(try, at)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// TestPageBrowser opens the page of a node in Chromium, as fairlead ui forwards it: first
// without the script, then with it, which must show a Service that is made after the page
// was loaded. The browser must report no violation of the page's policy and no error of
// the script, and the names of hostile objects must not become markup.
func TestPageBrowser(t *testing.T) {
	nstest.Need(t)
	w, agent := troubled(t)
	f := &front{}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	addr := netip.MustParseAddrPort(srv.Listener.Addr().String())
	forward := ask.NewForward(agent, addr)
	f.forward = forward
	rollouts(t, w, agent)
	wants := []string{
		">default/cart<", ">default/payments<", "10.96.0.21", "fd00:10:96::15", ">80/tcp<", ">per second<", "&lt;script&gt;document.title",
		"nft (pid ", `data-label="Node">` + w.Cluster.Nodes[1].Name, "Programming latency", "Time of a sync", "24 values in", "vxlan", ">answers<",
	}
	noScript := false // of which the browser complains
	check := func(dom, log string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(dom, want) {
				t.Errorf("the page has no %q:\n%s", want, dom)
			}
		}
		for _, bad := range []string{"hacked", "<script>", "onerror=alert"} {
			if strings.Contains(strings.ReplaceAll(dom, "document.title='hacked'", ""), bad) {
				t.Errorf("the page has %q", bad)
			}
		}
		for line := range strings.Lines(log) {
			own := strings.Contains(line, "source: chrome://") || strings.Contains(line, "page.js") && noScript
			if strings.Contains(line, ":CONSOLE") && !own {
				t.Errorf("the browser reports: %s", line)
			}
		}
	}
	noScript = true
	f.set(true, nil)
	dom, log := chromium(t, forward.URL(), "--dump-dom")
	check(dom, log, append(wants, "<button>Search</button>")...)
	dom, log = chromium(t, forward.URL()+"&q=10.96.0.21", "--dump-dom")
	check(dom, log, ">default/cart<", "2 of 6")
	if strings.Contains(dom, "default/payments") {
		t.Error("a search shows what it does not look for")
	}

	noScript = false
	var once sync.Once
	f.set(false, func() {
		once.Do(func() {
			s := w.Web
			s.Name, s.NodePort, s.ClusterIPs = "brand-new", 0, world.VIPs(w.Lab, 40)
			if err := w.Write(s); err != nil {
				t.Error(err)
			}
			stateOf(t, agent, "the new Service", func(s *state.State) bool { return s.Counts.Services == 7 })
		})
	})
	dom, log = chromium(t, forward.URL(), "--virtual-time-budget=9000", "--dump-dom")
	check(dom, log, append(wants, ">default/brand-new<", ">Live<", `<button hidden="">`)...)
	f.set(false, nil)
	takeScreenshots(t, forward.URL()+"&by=rate")
}

// rollouts changes endpoints, and waits until the page has something of everything.
func rollouts(t *testing.T, w *world.World, agent *ask.Client) {
	t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for i := range 24 {
		text := fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: cart-canary, namespace: default, labels: {kubernetes.io/service-name: cart}, "+
			"annotations: {endpoints.kubernetes.io/last-change-trigger-time: %q}}\naddressType: IPv4\nports: [{name: hello, port: %d}]\nendpoints: [{addresses: [%q]}]\n",
			time.Now().UTC().Format(time.RFC3339Nano), world.WebPort, w.Web.Endpoints[i%2].Pod.Addr4)
		if err := world.WriteManifest(w.Manifests, "canary.yaml", text); err != nil {
			t.Fatal(err)
		}
		stateOf(t, agent, "the change reaches the kernel", func(s *state.State) bool { return len(s.Programming) == i+1 })
		<-tick.C
	}
	stateOf(t, agent, "a repair, problems and peers that answer", func(s *state.State) bool {
		return s.Table.Repairs > 0 && s.ProblemCount > 0 && s.Overlay.Probed && s.Overlay.LostCount == 0
	})
}

// stateOf waits for a state that ok accepts.
func stateOf(t *testing.T, agent *ask.Client, what string, ok func(*state.State) bool) {
	t.Helper()
	eventually(t, what, func() error {
		s, err := agent.State(t.Context())
		if err == nil && !ok(s) {
			err = fmt.Errorf("the state is %+v", s)
		}
		return err
	})
}

// takeScreenshots takes the pictures of docs/status-page.md, and checks what they are.
func takeScreenshots(t *testing.T, url string) {
	t.Helper()
	dir := *screenshots
	if dir == "" {
		dir = t.TempDir()
	}
	for name, args := range map[string][]string{
		"status-page.png":       {"--window-size=1200,1560"},
		"status-page-night.png": {"--window-size=1200,1560", "--blink-settings=preferredColorScheme=0"},
		"status-page-phone.png": {"--window-size=500,1900"},
	} {
		file := filepath.Join(t.TempDir(), name)
		chromium(t, url, append(args, "--virtual-time-budget=7000", "--screenshot="+file)...)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		small, err := shrink(raw)
		if err != nil || len(small) > 150<<10 || len(small) < 10<<10 {
			t.Errorf("%s: %v, %d bytes", name, err, len(small))
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), small, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// shrink reduces a picture to its 256 most frequent colors.
func shrink(raw []byte) ([]byte, error) {
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA {
		c, _ := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
		return color.RGBA{c.R &^ 3, c.G &^ 3, c.B &^ 3, 255}
	}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	all := make([]color.RGBA, 0, len(count))
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return count[b] - count[a] })
	var colors color.Palette
	for _, c := range all[:min(len(all), 256)] {
		colors = append(colors, c)
	}
	if len(colors) < 16 {
		return nil, fmt.Errorf("the picture has %d colors", len(colors))
	}
	index := map[color.RGBA]uint8{}
	out := image.NewPaletted(b, colors)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := at(x, y)
			if _, ok := index[c]; !ok {
				index[c] = uint8(colors.Index(c))
			}
			out.SetColorIndex(x, y, index[c])
		}
	}
	var small bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, out)
	return small.Bytes(), err
}
