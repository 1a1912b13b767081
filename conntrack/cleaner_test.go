// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	vnetlink "github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

// flows is a namespace with a node's address and a conntrack table to fill.
type flows struct {
	ns   *netns.NS
	conn *conntrack.Conn
}

func newFlows(t testing.TB) *flows {
	t.Helper()
	ns := nstest.New(t)
	conn, err := conntrack.Dial(&netlink.Config{NetNS: ns.Fd()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h, err := vnetlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{nodeAddr + "/32", "fd00:50::1/128"} {
		a, err := vnetlink.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.AddrAdd(lo, a); err != nil {
			t.Fatal(err)
		}
	}
	return &flows{ns, conn}
}

// add makes an established flow whose packets to dialled are answered by answerer.
func (f *flows) add(t testing.TB, proto inet.Proto, client, dialled, answerer string) {
	t.Helper()
	state := uint8(3) // ESTABLISHED of TCP
	if proto == inet.SCTP {
		state = 4
	}
	f.addState(t, proto, state, conntrack.StatusSeenReply|conntrack.StatusAssured, client, dialled, answerer)
}

// addState does the same for a flow in a given state of TCP or SCTP.
func (f *flows) addState(t testing.TB, proto inet.Proto, state uint8, status conntrack.Status, client, dialled, answerer string) {
	t.Helper()
	f.addZone(t, 0, proto, state, status, client, dialled, answerer)
}

// addZone does the same in a zone of connection tracking. Programs such as Open vSwitch use
// others than 0.
func (f *flows) addZone(t testing.TB, zone uint16, proto inet.Proto, state uint8, status conntrack.Status, client, dialled, answerer string) {
	t.Helper()
	c, d, a := ap(client), ap(dialled), ap(answerer)
	flow := conntrack.NewFlow(uint8(proto), status|conntrack.StatusConfirmed, c.Addr(), d.Addr(), c.Port(), d.Port(), 300, 0)
	flow.Zone = zone
	flow.TupleReply.IP.SourceAddress = a.Addr()
	flow.TupleReply.Proto.SourcePort = a.Port()
	switch proto {
	case inet.TCP:
		flow.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: state}
	case inet.SCTP:
		flow.ProtoInfo.SCTP = &conntrack.ProtoInfoSCTP{State: state, VTagOriginal: 1, VTagReply: 1}
	}
	if err := f.conn.Create(flow); err != nil {
		t.Fatalf("create flow %s -> %s: %v", client, dialled, err)
	}
}

// list returns the clients of all flows, sorted.
func (f *flows) list(t testing.TB) []string {
	t.Helper()
	all, err := f.conn.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, flow := range all {
		out = append(out, netip.AddrPortFrom(flow.TupleOrig.IP.SourceAddress, flow.TupleOrig.Proto.SourcePort).String())
	}
	slices.Sort(out)
	return out
}

// start runs the worker and returns what it has deleted so far.
func start(t testing.TB, c *Cleaner) *atomic.Int64 {
	t.Helper()
	deleted := &atomic.Int64{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- c.Run(ctx, func(s Sweep) {
			deleted.Add(int64(s.Deleted))
			if s.Err != nil {
				t.Errorf("sweep: %v", s.Err)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return deleted
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestClean makes flows of every kind; the port of the client says which.
func TestClean(t *testing.T) {
	f := newFlows(t)
	f.add(t, inet.UDP, "10.0.0.1:1", "10.96.0.10:53", "10.244.0.1:53")          // serving
	f.add(t, inet.UDP, "10.0.0.1:2", "10.96.0.10:53", "10.244.0.2:53")          // to be removed
	f.add(t, inet.UDP, "10.0.0.1:3", "10.96.0.10:53", "10.96.0.10:53")          // never translated
	f.add(t, inet.TCP, "10.0.0.1:4", "10.96.0.10:53", "10.244.0.2:53")          // TCP
	f.add(t, inet.UDP, "10.0.0.1:5", nodeAddr+":30053", "10.244.0.2:53")        // NodePort
	f.add(t, inet.UDP, "10.0.0.1:6", "192.0.2.9:30053", "10.244.0.2:53")        // the same port elsewhere
	f.add(t, inet.UDP, "10.0.0.1:7", "198.51.100.1:53", "198.51.100.1:53")      // unrelated
	f.add(t, inet.UDP, "[fd01::1]:1", "[fd00:96::a]:53", "[fd00:244::1]:53")    // serving
	f.add(t, inet.UDP, "[fd01::1]:2", "[fd00:96::a]:53", "[fd00:244::2]:53")    // to be removed
	f.add(t, inet.UDP, "[fd01::1]:5", "[fd00:50::1]:30053", "[fd00:244::2]:53") // NodePort
	f.add(t, inet.UDP, "[fd01::1]:6", "[fd00:51::1]:30053", "[fd00:244::2]:53") // elsewhere
	f.add(t, inet.UDP, "10.0.0.1:8", "10.96.0.20:53", "10.244.0.3:53")          // Service to be removed
	f.add(t, inet.UDP, "10.0.0.1:9", "10.96.0.20:54", "198.51.100.1:54")        // the same address, not ours
	both := func(a, b string) inet.AddrPorts { return inet.AddrPortsOf(ap(a), ap(b)) }
	c := NewCleaner(Config{Namespace: f.ns})
	set := func(four, six inet.AddrPorts) {
		c.Set(udp("10.96.0.10:53"), four, inet.AddrPorts{})
		c.Set(udp("0.0.0.0:30053"), four, inet.AddrPorts{})
		c.Set(udp("[fd00:96::a]:53"), six, inet.AddrPorts{})
		c.Set(udp("[::]:30053"), six, inet.AddrPorts{})
	}
	set(both("10.244.0.1:53", "10.244.0.2:53"), both("[fd00:244::1]:53", "[fd00:244::2]:53"))
	c.Set(udp("10.96.0.20:53"), inet.AddrPortsOf(ap("10.244.0.3:53")), inet.AddrPorts{})
	deleted := start(t, c)
	eventually(t, "the flow that was never translated is gone", func() bool { return len(f.list(t)) == 12 })

	set(inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPortsOf(ap("[fd00:244::1]:53")))
	c.Delete(udp("10.96.0.20:53"))
	want := []string{"10.0.0.1:1", "10.0.0.1:4", "10.0.0.1:6", "10.0.0.1:7", "10.0.0.1:9", "[fd01::1]:1", "[fd01::1]:6"}
	eventually(t, "stale flows are gone", func() bool { return len(f.list(t)) <= len(want) })
	if diff := cmp.Diff(want, f.list(t)); diff != "" {
		t.Errorf("flows left (-want +got):\n%s", diff)
	}
	eventually(t, "6 deletions are reported", func() bool { return deleted.Load() == 6 })
}

// TestRestart meets what became stale while no agent ran.
func TestRestart(t *testing.T) {
	f := newFlows(t)
	f.add(t, inet.UDP, "10.0.0.1:1", "10.96.0.10:53", "10.244.0.1:53")
	f.add(t, inet.UDP, "10.0.0.1:2", "10.96.0.10:53", "10.244.0.2:53")
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("10.96.0.10:53"), inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
	c.SweepAll(nil)
	start(t, c)
	eventually(t, "stale flow is gone", func() bool { return slices.Equal(f.list(t), []string{"10.0.0.1:1"}) })
}

// TestRetry lets a sweep fail and expects it to be made up for.
func TestRetry(t *testing.T) {
	f := newFlows(t)
	f.add(t, inet.UDP, "10.0.0.1:2", "10.96.0.10:53", "10.244.0.2:53")
	none, err := netns.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = none.Close() }()
	c := NewCleaner(Config{Namespace: none})
	c.Set(udp("10.96.0.10:53"), inet.AddrPorts{}, inet.AddrPorts{})
	if c.sweep(t.Context(), takeAll(c)).Err == nil {
		t.Fatal("a sweep in no namespace succeeded")
	}
	c.cfg.Namespace = f.ns
	if err := c.sweep(t.Context(), takeAll(c)).Err; err != nil {
		t.Fatal(err)
	}
	if left := f.list(t); len(left) != 0 {
		t.Errorf("left after the second try: %v", left)
	}
}

// BenchmarkSweep takes a backend of a frontend away among that many flows that
// have nothing to do with it.
func BenchmarkSweep(b *testing.B) {
	const unrelated = 100000
	f := newFlows(b)
	if limit, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(limit))); err == nil && n < 2*unrelated {
			b.Skipf("nf_conntrack_max is %d", n)
		}
	}
	for i := range unrelated {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), uint16(1+i>>16))
		if err := f.conn.Create(conntrack.NewFlow(uint8(inet.UDP), 0, client.Addr(), netip.AddrFrom4([4]byte{192, 0, 2, 1}), client.Port(), 53, 600, 0)); err != nil {
			b.Fatal(err)
		}
	}
	for _, frontends := range []int{1, 8, 100} {
		b.Run("frontends="+strconv.Itoa(frontends)+"/flows="+strconv.Itoa(unrelated), func(b *testing.B) {
			c := NewCleaner(Config{Namespace: f.ns})
			for b.Loop() {
				for i := range frontends {
					key := inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), Port: 53, Proto: inet.UDP}
					c.Set(key, inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
					c.Set(key, inet.AddrPorts{}, inet.AddrPorts{})
				}
				if err := c.sweep(b.Context(), takeAll(c)).Err; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLateReplies has a server on the node send a reply just when the flow between
// it and a client is deleted, many times.
func TestLateReplies(t *testing.T) {
	f := newFlows(t)
	f.add(t, inet.UDP, "10.0.0.1:1", nodeAddr+":30053", nodeAddr+":30053")
	f.add(t, inet.UDP, nodeAddr+":30053", "10.0.0.2:1", "10.0.0.2:1") // another client of it, whose flow was not deleted
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("0.0.0.0:30053"), inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
	deleted := start(t, c)
	eventually(t, "the flow is gone", func() bool { return deleted.Load() == 1 })
	for range 10 {
		f.add(t, inet.UDP, nodeAddr+":30053", "10.0.0.1:1", "10.0.0.1:1")
		eventually(t, "the flow of the reply is gone", func() bool { return len(f.list(t)) == 1 })
	}
	f.add(t, inet.UDP, "10.0.0.1:1", nodeAddr+":30053", nodeAddr+":30053")
	eventually(t, "an untranslated flow is gone", func() bool { return len(f.list(t)) == 1 })
	f.add(t, inet.UDP, "10.0.0.1:1", nodeAddr+":30053", "10.244.0.1:53")
	eventually(t, "the checks end", func() bool { return deleted.Load() == 12 })
	want := []string{"10.0.0.1:1", nodeAddr + ":30053"}
	for range 50 {
		if got := f.list(t); !slices.Equal(got, want) {
			t.Fatalf("flows left: %v, want %v", got, want)
		}
	}
}

// TestChangeDuringSweep changes frontends while a sweep of them runs: the changes
// are work for the next sweep, and nothing piles up however long it goes on.
func TestChangeDuringSweep(t *testing.T) {
	c := NewCleaner(Config{})
	a, b := udp("10.96.0.1:53"), udp("10.96.0.2:53")
	one := inet.AddrPortsOf(ap("10.244.0.1:53"))
	c.Set(a, one, inet.AddrPorts{})
	w := c.inbox.Take()
	c.Set(a, inet.AddrPorts{}, inet.AddrPorts{})
	c.finish(w, nil)
	w = c.inbox.Take()
	if _, due := w.frontends[a]; !due {
		t.Error("a change during a sweep is lost")
	}
	c.finish(w, nil)
	c.Set(b, one, inet.AddrPorts{})
	c.Delete(b)
	w = c.inbox.Take()
	c.Set(a, one, inet.AddrPorts{})
	c.finish(w, errors.New("failed"))
	if w = c.inbox.Take(); len(w.frontends) != 2 {
		t.Errorf("due after a sweep that failed: %v", w)
	}
	if len(c.view.removed) != 1 {
		t.Errorf("removed frontends after a sweep that failed: %v", c.view.removed)
	}
	c.finish(w, nil)
	// Something always changes while a sweep runs.
	for i := range 10000 {
		gone := inet.Addr{IP: netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)}), Port: 53, Proto: inet.UDP}
		c.Set(gone, one, inet.AddrPorts{})
		c.Delete(gone)
		w := c.inbox.Take()
		c.Set(a, inet.AddrPortsOf(ap(fmt.Sprintf("10.244.0.%d:53", i%250))), inet.AddrPorts{})
		c.finish(w, nil)
	}
	if due := c.inbox.Take().frontends; len(c.view.removed) > 0 || len(due) > 1 {
		t.Errorf("%d removed frontends and %d due ones remain", len(c.view.removed), len(due))
	}
	for range 1000 { // one that fails all the time
		c.Set(b, one, inet.AddrPorts{})
		c.Delete(b)
		c.finish(c.inbox.Take(), errors.New("failed"))
	}
	if n := len(c.view.removed[b]); n != 1 {
		t.Errorf("one removed frontend has %d endpoints", n)
	}
}

// TestDeleteTwice deletes a flow that another program deleted before.
func TestDeleteTwice(t *testing.T) {
	f := newFlows(t)
	k, err := openTable(f.ns, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.close() }()
	for _, s := range []string{"10.0.0.1:1 10.96.0.1:53", "[fd01::1]:1 [fd00:96::a]:53"} {
		client, dialled, _ := strings.Cut(s, " ")
		flow := Flow{Client: ap(client), Dialled: udp(dialled)}
		f.add(t, inet.UDP, client, dialled, dialled)
		if got, ok, err := k.get(flow); err != nil || !ok || got.Client != flow.Client || got.Dialled != flow.Dialled {
			t.Errorf("%v, %v: %v", got, ok, err)
		}
		for range 2 {
			if err := k.delete(flow); err != nil {
				t.Error(err)
			}
		}
		if _, ok, err := k.get(flow); err != nil || ok {
			t.Errorf("after deletion: %v, %v", ok, err)
		}
	}
}
