// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

// TestPacketTrackedAgain: a connection from pod to pod goes on after the table was missing and
// no connection was tracked, although the kernel then saw a client's packet that was lost, and
// after it a keep-alive probe of the server: see conntrack.Cleaner.Loosen.
func TestPacketTrackedAgain(t *testing.T) {
	b, _, _ := newPairBed(t)
	nft := func(text string) {
		t.Helper()
		if out, err := nstest.Command(t, b.node.NS, "nft", text).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", text, err, out)
		}
	}
	client, server := b.client, b.here
	for family := range ipFamilies {
		t.Run(ipFamilies[family], func(t *testing.T) {
			conn, err := client.OpenFrom(labtest.Patient(t), client.Addrs()[family], inet.Addr{IP: server.Addrs()[family], Port: targetPort, Proto: inet.TCP})
			check(t, err)
			defer func() { _ = conn.Close() }()
			b.stop()
			deleteTable(t, b)
			b.start(t, defaults())
			match := [...]string{"ip", "ip6"}[family] + " saddr " + client.Addrs()[family].String()
			nft("add table inet other; add chain inet other lost { type filter hook forward priority 0; }; add rule inet other lost " + match + " drop")
			answered := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*waits)
				defer cancel()
				_, err := conn.Ask(ctx)
				answered <- err
			}()
			time.Sleep(2 * lab.ProbeEvery) // at least one probe
			nft("delete table inet other")
			if err := <-answered; err != nil {
				t.Error(err)
			}
		})
	}
}
