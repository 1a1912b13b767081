// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"net"
	"net/netip"
	"testing"
	"time"
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
