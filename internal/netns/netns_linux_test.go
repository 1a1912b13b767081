// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// identity returns which namespace the calling thread is in.
func identity() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// TestDo runs code inside a namespace and nothing else there.
func TestDo(t *testing.T) {
	ns := nstest.New(t)
	outside, err := identity()
	if err != nil {
		t.Fatal(err)
	}
	var inside, again string
	for _, p := range []*string{&inside, &again} {
		if err := ns.Do(func() (err error) { *p, err = identity(); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if inside == outside || inside != again {
		t.Errorf("outside is %s, inside is %s, then %s", outside, inside, again)
	}
	if now, err := identity(); err != nil || now != outside {
		t.Errorf("the caller is in %s, %v, want %s", now, err, outside)
	}
}

// TestDoSparesTheMainThread shows that the namespace of the process, as others see it in
// /proc/PID/ns, stays: many goroutines are inside another one at once, on all threads that
// there are.
func TestDoSparesTheMainThread(t *testing.T) {
	ns := nstest.New(t)
	const process = "/proc/self/ns/net"
	want, err := os.Readlink(process)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		var inside sync.WaitGroup
		for range 20 {
			inside.Go(func() {
				if err := ns.Do(func() error { _, err := identity(); return err }); err != nil {
					t.Error(err)
				}
			})
		}
		inside.Wait()
		if got, err := os.Readlink(process); err != nil || got != want {
			t.Fatalf("the process is in %s, %v, want %s", got, err, want)
		}
	}
}

// TestDoError hands the error on.
func TestDoError(t *testing.T) {
	want := errors.New("no")
	if got := nstest.New(t).Do(func() error { return want }); !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSocketsStay shows what the lab's servers rely on: a socket that was opened
// inside belongs to the namespace, whoever uses it later.
func TestSocketsStay(t *testing.T) {
	a, b := nstest.New(t), nstest.New(t)
	for _, ns := range []*netns.NS{a, b} {
		var l net.Listener
		if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:4242"); return err }); err != nil {
			t.Fatalf("the port is taken by another namespace: %v", err)
		}
		defer func() { _ = l.Close() }()
	}
}

// TestOpenFails names the path.
func TestOpenFails(t *testing.T) {
	if _, err := netns.Open("/no/such/namespace"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestIsProcess compares the namespace of the process with itself and with another one.
func TestIsProcess(t *testing.T) {
	own, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	other, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	for ns, want := range map[*netns.NS]bool{own: true, other: false} {
		if got, err := ns.IsProcess(); err != nil || got != want {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
}
