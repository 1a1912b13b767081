// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
)

// strict returns how many TCP flows have their sequence numbers checked, of how many.
func (f *flows) strict(t *testing.T) (strict, all int) {
	t.Helper()
	list, err := f.conn.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, flow := range list {
		tcp := flow.ProtoInfo.TCP
		if tcp == nil {
			continue
		}
		all++
		const liberal = tcpLiberal << 8 // flags come before their mask
		if tcp.OriginalFlags&liberal == 0 || tcp.ReplyFlags&liberal == 0 || tcp.State != 3 {
			strict++
		}
	}
	return strict, all
}

// TestLoosen makes system calls fail while more connections are loosened than one batch
// holds, of both families. The worker repeats that until all are, and changes nothing else
// of them. Flows of UDP stay.
func TestLoosen(t *testing.T) {
	f := newFlows(t)
	const each = 400
	kinds := nltest.Some()[:1]
	if *every {
		kinds = nltest.All()
	}
	for _, fault := range kinds {
		for n := 1; ; n += 1 + n/2 {
			if err := f.conn.Flush(); err != nil {
				t.Fatal(err)
			}
			for port := range each {
				f.add(t, inet.TCP, fmt.Sprintf("10.0.0.1:%d", 1+port), "203.0.113.1:80", "10.244.0.9:80")
				f.add(t, inet.TCP, fmt.Sprintf("[fd01::1]:%d", 1+port), "[fd00:113::1]:80", "[fd00:113::1]:80")
			}
			f.add(t, inet.UDP, "10.0.0.1:1", "203.0.113.1:53", "10.244.0.9:53")
			if strict, all := f.strict(t); strict != 2*each || all != strict {
				t.Fatalf("%d of %d connections are checked before", strict, all)
			}
			var faults nltest.Faults
			c := NewCleaner(Config{Namespace: f.ns})
			c.calls = &faults
			c.Loosen()
			faults.Arm(fault, n, 1)
			passes, failed := 0, true
			for ; failed && passes < 4; passes++ {
				s, _, _ := c.pass(t.Context(), time.Now().Add(lastRestAll))
				failed = s.Err != nil
			}
			struck := faults.Disarm()
			if err := c.kept.drop(); err != nil {
				t.Error(err)
			}
			if strict, all := f.strict(t); strict != 0 || all != 2*each || failed {
				t.Fatalf("%s, call %d: %d of %d connections are checked after %d passes, failed: %v", fault.Name, n, strict, all, passes, failed)
			}
			if struck == 0 {
				break
			}
		}
	}
}

// TestZones has flows with the same addresses in two zones. Each connection is loosened. A flow in
// the zone of another program is never deleted, and nor is one that is right because of it.
func TestZones(t *testing.T) {
	f := newFlows(t)
	const kept = conntrack.StatusSeenReply | conntrack.StatusAssured
	for zone := range uint16(3) {
		f.addZone(t, zone, inet.TCP, 3, kept, "10.0.0.1:1", "203.0.113.1:80", "10.244.0.9:80")
	}
	f.addZone(t, 0, inet.UDP, 0, kept, "10.0.0.1:2", "203.0.113.1:53", "10.244.0.1:53") // right
	f.addZone(t, 7, inet.UDP, 0, kept, "10.0.0.1:2", "203.0.113.1:53", "10.244.0.9:53") // stale
	f.addZone(t, 7, inet.UDP, 0, kept, "10.0.0.1:3", "203.0.113.1:53", "10.244.0.9:53") // alone
	c := NewCleaner(Config{Namespace: f.ns})
	c.Set(udp("203.0.113.1:53"), inet.AddrPortsOf(ap("10.244.0.1:53")), inet.AddrPorts{})
	c.SweepAll(nil)
	c.Loosen()
	if s, _, _ := c.pass(t.Context(), time.Now()); s.Err != nil || s.Deleted != 0 {
		t.Errorf("%+v", s)
	}
	if strict, all := f.strict(t); strict != 0 || all != 3 {
		t.Errorf("%d of %d connections are checked", strict, all)
	}
	if got := f.list(t); len(got) != 6 {
		t.Errorf("left are %v", got)
	}
}
