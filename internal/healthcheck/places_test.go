// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
)

// TestSlowAddresses lists addresses that the kernel takes long to return. Meanwhile callers do
// not wait: the loop that writes the table is one of them.
func TestSlowAddresses(t *testing.T) {
	s := New(Options{})
	s.Serve([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	s.Set(Name{"a", "b"}, 30000)
	asked := make(chan struct{})
	answer := make(chan struct{})
	s.interfaceAddrs = func() ([]net.Addr, error) {
		close(asked)
		<-answer
		return nil, nil
	}
	listed := make(chan []socket)
	go func() { listed <- s.want() }()
	<-asked
	set := make(chan struct{})
	go func() {
		s.SetLocal(Name{"a", "b"}, 1)
		close(set)
	}()
	select {
	case <-set:
	case <-time.After(20 * time.Second):
		t.Error("SetLocal waits for the list of addresses")
	}
	close(answer)
	if got := <-listed; len(got) != 1 || got[0].port != 30000 {
		t.Errorf("got %v, want one socket for port 30000", got)
	}
}

// TestSubscriptionsEnd has the kernel end subscriptions to addresses. The library closes the
// socket of one when the channel that it was given is closed, and not before.
func TestSubscriptionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(Options{})
		var open []<-chan struct{}
		s.subscribe = func(updates chan<- netlink.AddrUpdate, done <-chan struct{}, _ netlink.AddrSubscribeOptions) error {
			for _, d := range open {
				select {
				case <-d:
				default:
					t.Error("a subscription that has ended keeps its socket")
				}
			}
			if open = append(open, done); len(open) == 3 {
				cancel()
			}
			close(updates)
			return nil
		}
		s.watch(ctx)
	})
}
