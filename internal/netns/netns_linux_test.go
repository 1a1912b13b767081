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
// /proc/PID/ns, stays: more goroutines than threads are inside another one at once.
func TestDoSparesTheMainThread(t *testing.T) {
	ns := nstest.New(t)
	want, err := identity()
	if err != nil {
		t.Fatal(err)
	}
	const goroutines = 50 // more than the process has threads
	var inside, done sync.WaitGroup
	inside.Add(goroutines)
	for range goroutines {
		done.Go(func() {
			if err := ns.Do(func() error { inside.Done(); inside.Wait(); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if got, err := os.Readlink("/proc/self/ns/net"); err != nil || got != want {
		t.Errorf("the process is in %s, %v, want %s", got, err, want)
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
