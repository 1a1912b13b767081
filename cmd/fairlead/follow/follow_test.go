// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
)

// TestCollector sorts the steps of two packets that are under way at the same time, and
// leaves out a third one beyond the bound. Short headers are no address.
func TestCollector(t *testing.T) {
	own := nft.Table{Family: unix.NFPROTO_INET, Name: "t"}
	header := func(last byte) []byte {
		b := make([]byte, 20)
		b[0], b[9], b[12], b[16], b[19] = 0x45, unix.IPPROTO_UDP, 10, 10, last
		return b
	}
	c := Collector{Own: "t", Rule: func(h uint64) string { return map[uint64]string{7: "jump x"}[h] }}
	now := time.Now()
	for i, s := range []nft.Trace{
		{ID: 1, Table: own, Chain: "in", Kind: nft.TraceRule, Network: header(1), Transport: []byte{0, 9, 0, 53}, Verdict: -1},
		{ID: 2, Table: own, Chain: "in", Kind: nft.TraceRule, Handle: 8, Network: header(2)[:19]},
		{ID: 1, Table: own, Chain: "in", Kind: nft.TraceRule, Handle: 7, Verdict: -3, Target: "x"},
		{ID: 3, Table: own, Chain: "in", Kind: nft.TraceRule, Handle: 7},
		{ID: 1, Table: nft.Table{Family: unix.NFPROTO_IPV4, Name: "o"}, Chain: "f", Kind: nft.TracePolicy, Policy: nft.PolicyDrop},
	} {
		c.Add(&s, now.Add(time.Duration(i)*time.Second), 2)
	}
	if early := c.Done(now.Add(4*time.Second), 2*time.Second); len(early) != 1 || len(early[0].Steps) != 1 || early[0].Steps[0].Rule != "rule with handle 8" || early[0].Steps[0].Ends != nil {
		t.Errorf("the second packet is %+v", early)
	}
	done := c.Done(now.Add(time.Minute), time.Second)
	if len(done) != 1 {
		t.Fatalf("%d packets, want 1", len(done))
	}
	const want = `packet 1
  udp 10.0.0.0:9 -> 10.0.0.1:53 (dns)
    inet t         in                 jump x  # jump x
    ip o           f                  drop by policy
`
	got := done[0].Text(1, func(a netip.AddrPort) string { return map[uint16]string{53: "dns"}[a.Port()] })
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestReuse: a step without a table ends the packet that had the same ID before.
func TestReuse(t *testing.T) {
	c := Collector{}
	now := time.Now()
	for range 3 {
		c.Add(&nft.Trace{ID: 1}, now, 10)
		c.Add(&nft.Trace{ID: 1, Table: nft.Table{Name: "o"}, Kind: nft.TracePolicy}, now, 10)
	}
	if done := c.Done(now, time.Second); len(done) != 2 {
		t.Errorf("%d packets have ended, want 2", len(done))
	}
	if done := c.Done(now.Add(time.Hour), time.Second); len(done) != 1 || len(done[0].Steps) != 1 {
		t.Errorf("the last packet is %+v", done)
	}
}
