// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// host is a node without pods and without anybody to talk to: what is
// programmed can be looked at.
type host struct {
	ns    *netns.NS
	links *netlink.Handle
}

const uplink = "eth0"

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{ns: nstest.New(t)}
	links, err := netlink.NewHandleAt(vnetns.NsHandle(h.ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(links.Close)
	h.links = links
	h.addUplink(t)
	return h
}

func (h *host) addUplink(t testing.TB) {
	t.Helper()
	far := nstest.New(t)
	h.must(t, h.links.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: uplink, PeerNamespace: netlink.NsFd(far.Fd())}))
	h.addr(t, "192.168.50.1/24")
	h.addr(t, "fd00:50::1/64")
	h.must(t, h.links.LinkSetUp(h.link(t, uplink)))
}

func (h *host) must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := h.links.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (h *host) addr(t testing.TB, s string) {
	t.Helper()
	a, err := netlink.ParseAddr(s)
	h.must(t, err)
	if a.IP.To4() == nil {
		a.Flags = 2 // IFA_F_NODAD
	}
	h.must(t, h.links.AddrAdd(h.link(t, uplink), a))
}

// run runs a program in the host and returns what it printed.
func (h *host) run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := nstest.Command(t, h.ns, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kernel returns what the kernel holds of ours, read without a Keeper.
func (h *host) kernel(t testing.TB, cfg overlay.Config) string {
	t.Helper()
	return inKernel(t, h.ns, cfg)
}

func inKernel(t testing.TB, ns *netns.NS, cfg overlay.Config) string {
	t.Helper()
	k, err := New(ns, Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if k.sock, err = kernel.Dial(ns); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.sock.Close() }()
	if err := k.look([2]netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	l, err := k.sock.Load(&k.cfg, k.owned, func(i int32) string { return k.names[i] })
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range k.seen.Links {
		if _, ours := k.owned[l.Index]; ours {
			d := overlay.Device{Name: l.Name, VNI: l.VXLAN.VNI, Port: l.VXLAN.Port, Local: l.VXLAN.Local, MAC: l.MAC, MTU: l.MTU, Lower: cfg.TakeOver}
			lines = append(lines, d.String()+odd(!kernel.Same(d, &l)))
		}
	}
	slices.Sort(lines)
	lines = append(lines, l.String())
	for _, e := range l.Extras {
		lines = append(lines, e.String()+" (extra)")
	}
	return strings.Join(lines, "\n")
}

// text returns a plan in the same form.
func text(p overlay.Plan) string {
	var lines []string
	for _, d := range p.Devices {
		lines = append(lines, d.String())
	}
	slices.Sort(lines)
	return strings.Join(append(lines, p.Entries.String()), "\n")
}

// keeper is a Keeper at work.
type keeper struct {
	*Keeper
	stop func()

	mu      sync.Mutex
	reports []overlay.Report
}

func start(t testing.TB, ns *netns.NS, o Options) *keeper {
	t.Helper()
	return startWith(t, ns, o, func(*Keeper) {})
}

// startWith is start for a Keeper that is changed before it runs.
func startWith(t testing.TB, ns *netns.NS, o Options, change func(*Keeper)) *keeper {
	t.Helper()
	k := &keeper{}
	var err error
	if k.Keeper, err = New(ns, o); err != nil {
		t.Fatal(err)
	}
	change(k.Keeper)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx, k.report) }()
	k.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(k.stop)
	return k
}

func (k *keeper) report(r overlay.Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reports = append(k.reports, r)
}

// last returns the newest report, and all numbers of all of them.
func (k *keeper) last() (last overlay.Report, written, repaired, passes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.reports {
		written += r.Written
		repaired += r.Repaired
	}
	if n := len(k.reports); n > 0 {
		last = k.reports[n-1]
	}
	return last, written, repaired, len(k.reports)
}

// want is what the Keeper plans.
func (k *keeper) want() overlay.Plan {
	p, _ := k.Plan()
	return p
}

// settle waits for a report without error after a number of passes.
func (k *keeper) settle(t testing.TB, passes int) {
	t.Helper()
	k.reported(t, func(_ *overlay.Report, n int) error {
		if n <= passes {
			return fmt.Errorf("%d passes, want more than %d", n, passes)
		}
		return nil
	})
}

// passes waits until there were a number of passes, whatever their errors.
func (k *keeper) passes(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d passes", n), func() error {
		if _, _, _, got := k.last(); got < n {
			return fmt.Errorf("there were %d", got)
		}
		return nil
	})
}

// sync calls Set and waits until the kernel is as planned. A pass that began before does not
// count, since it may end after the call.
func (k *keeper) sync(t testing.TB, self overlay.Node, peers ...overlay.Node) overlay.Report {
	t.Helper()
	k.Set(self, peers)
	version := k.version()
	return k.reported(t, func(r *overlay.Report, _ int) error {
		if r.Version != version {
			return fmt.Errorf("a pass for version %d, want %d", r.Version, version)
		}
		return nil
	})
}

// reported waits for a newest report that suits and has no error.
func (k *keeper) reported(t testing.TB, suits func(r *overlay.Report, passes int) error) overlay.Report {
	t.Helper()
	var r overlay.Report
	eventually(t, "a pass without error", func() error {
		var n int
		r, _, _, n = k.last()
		if err := suits(&r, n); err != nil {
			return err
		}
		return r.Err
	})
	return r
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within 20 s: %s: %v", what, err)
}

// becomes waits until the kernel holds what a plan says.
func (h *host) becomes(t testing.TB, cfg overlay.Config, p overlay.Plan) {
	t.Helper()
	eventually(t, "the kernel is as planned", func() error {
		if diff := cmp.Diff(text(p), h.kernel(t, cfg)); diff != "" {
			return fmt.Errorf("(-plan +kernel):\n%s", diff)
		}
		return nil
	})
}

func odd(yes bool) string {
	if yes {
		return " (odd)"
	}
	return ""
}
