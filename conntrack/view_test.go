// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func udp(s string) inet.Addr {
	a := ap(s)
	return inet.Addr{IP: a.Addr(), Port: a.Port(), Proto: inet.UDP}
}

const nodeAddr = "192.168.50.1"

func isNode(ip netip.Addr) bool { return ip == netip.MustParseAddr(nodeAddr) }

func TestStale(t *testing.T) {
	v := NewView(isNode, false)
	v.Set(udp("10.96.0.10:53"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.1:53"), ap("10.244.0.2:53"))})
	v.Set(udp("0.0.0.0:30053"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.1:53"))})
	v.Set(udp("10.96.0.11:53"), Backends{})
	v.Set(udp("10.96.0.12:53"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.9:53"))})
	v.Delete(udp("10.96.0.12:53"))
	v.Set(udp("10.96.0.13:53"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.9:53"))})
	v.Delete(udp("10.96.0.13:53"))
	v.Set(udp("10.96.0.13:53"), Backends{Serving: inet.AddrPortsOf(ap("10.244.0.8:53"))})
	for _, tt := range []struct {
		name, dialled, answerer string
		proto                   inet.Proto
		want                    bool
	}{
		{"serving backend", "10.96.0.10:53", "10.244.0.2:53", inet.UDP, false},
		{"removed backend", "10.96.0.10:53", "10.244.0.3:53", inet.UDP, true},
		{"backend on another port", "10.96.0.10:53", "10.244.0.2:5353", inet.UDP, true},
		{"never translated", "10.96.0.10:53", "10.96.0.10:53", inet.UDP, true},
		{"other port of the VIP", "10.96.0.10:54", "10.96.0.10:54", inet.UDP, false},
		{"TCP to a removed backend", "10.96.0.10:53", "10.244.0.3:53", inet.TCP, false},
		{"SCTP to a removed backend", "10.96.0.10:53", "10.244.0.3:53", inet.SCTP, false},
		{"node port, serving", nodeAddr + ":30053", "10.244.0.1:53", inet.UDP, false},
		{"node port, removed", nodeAddr + ":30053", "10.244.0.7:53", inet.UDP, true},
		{"the same port of another host", "192.0.2.1:30053", "192.0.2.1:30053", inet.UDP, false},
		{"frontend without backend", "10.96.0.11:53", "10.244.0.1:53", inet.UDP, true},
		{"removed frontend", "10.96.0.12:53", "10.244.0.9:53", inet.UDP, true},
		{"removed frontend, somebody else's flow", "10.96.0.12:53", "198.51.100.1:53", inet.UDP, false},
		{"address used again", "10.96.0.13:53", "10.244.0.8:53", inet.UDP, false},
		{"address used again, old backend", "10.96.0.13:53", "10.244.0.9:53", inet.UDP, true},
		{"unrelated", "198.51.100.7:53", "198.51.100.7:53", inet.UDP, false},
	} {
		dialled := udp(tt.dialled)
		dialled.Proto = tt.proto
		if got := v.Stale(Flow{Client: ap("10.244.5.5:5000"), Dialled: dialled, Answerer: ap(tt.answerer)}); got != tt.want {
			t.Errorf("%s: stale %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestChanges says for which changes the kernel has to be asked at all.
func TestChanges(t *testing.T) {
	v := NewView(isNode, false)
	key := udp("10.96.0.10:53")
	one, two := ap("10.244.0.1:53"), ap("10.244.0.2:53")
	for _, step := range []struct {
		name    string
		serving inet.AddrPorts
		want    bool
	}{
		{"first backend", inet.AddrPortsOf(one), true},
		{"the same again", inet.AddrPortsOf(one), false},
		{"one more", inet.AddrPortsOf(one, two), false},
		{"one less", inet.AddrPortsOf(two), true},
		{"none", inet.AddrPorts{}, true},
		{"first again", inet.AddrPortsOf(one), true},
	} {
		if got := v.Set(key, Backends{Serving: step.serving}); got != step.want {
			t.Errorf("%s: Set reports %v, want %v", step.name, got, step.want)
		}
	}
	if !v.Delete(key) {
		t.Error("Delete of a frontend with backends reports false")
	}
	if v.Delete(key) {
		t.Error("second Delete reports true")
	}
}

// TestSetIsLinear takes one of 8 times as many endpoints away, again and again. That takes about 8
// times as long; if each change compared each endpoint with each other one, it would take 64
// times as long. The time is that of the processor, and a measurement that was disturbed is
// repeated.
func TestSetIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	list := make([]netip.AddrPort, 1<<16)
	for i := range list {
		list[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 53)
	}
	v := NewView(isNode, true)
	least := func(list []netip.AddrPort) time.Duration {
		best := time.Hour
		lists := [2]inet.AddrPorts{inet.AddrPortsOf(list...), inet.AddrPortsOf(list[1:]...)}
		for i := range 10 {
			began := threadTime(t)
			v.Set(udp("10.96.0.1:53"), Backends{Serving: lists[i%2]})
			best = min(best, threadTime(t)-began)
		}
		return best
	}
	few, many := least(list[:1<<13]), least(list)
	for again := 0; many > 40*few && again < 20; again++ {
		few, many = least(list[:1<<13]), least(list)
	}
	if many > 40*few {
		t.Errorf("a change of %d endpoints takes %v, one of %d takes %v", len(list), many, 1<<13, few)
	}
	if !v.Stale(Flow{Client: ap("10.244.5.5:5000"), Dialled: udp("10.96.0.1:53"), Answerer: list[0]}) {
		t.Error("a flow to the removed endpoint is not stale")
	}
}

// threadTime returns the processor time that the calling thread has used.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		t.Fatal(err)
	}
	return time.Duration(at.Nano())
}

// TestLists compares the functions on sorted lists with simple ones.
func TestLists(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() []netip.AddrPort {
		var out []netip.AddrPort
		if r.IntN(50) == 0 { // as long as many blocks
			for i := range 1000 {
				if r.IntN(500) > 0 {
					out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 53))
				}
			}
		}
		for range r.IntN(6) {
			out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(8))}), 53))
		}
		if r.IntN(20) == 0 { // takes records of another size
			out = append(out, ap("[fd00::1]:53"))
		}
		slices.SortFunc(out, netip.AddrPort.Compare)
		return out
	}
	for range 10000 {
		a, b := random(), random()
		missing := slices.ContainsFunc(b, func(x netip.AddrPort) bool { return !slices.Contains(a, x) })
		if lacks(inet.AddrPortsOf(a...), inet.AddrPortsOf(b...)) != missing {
			t.Fatalf("%v lacks some of %v: %v, want %v", a, b, !missing, missing)
		}
		both := union(a, b)
		for _, x := range slices.Concat(a, b) {
			if !contains(both, x) {
				t.Fatalf("%v and %v are together %v", a, b, both)
			}
		}
		if want := len(union(both, both)); len(both) != want {
			t.Fatalf("%v has members twice", both)
		}
	}
}
