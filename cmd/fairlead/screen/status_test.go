// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/state"
)

func statusText(t *testing.T, s *state.State, wide bool) string {
	t.Helper()
	var b strings.Builder
	if err := (Status{s}).Print(&b, wide); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sick returns an agent with everything that can be wrong, n times.
func sick(n int) *state.State {
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	away := now.Add(-90 * time.Minute)
	s := &state.State{
		Time: now, Since: now.Add(-72 * time.Hour), Version: "1.2.3", Node: "node-a", Kernel: "6.1", Unready: "no routes",
		APIServer: &state.APIServer{URL: "https://api:6443", Away: &away, LastError: "connection refused", LastErrorAt: &now, LastContact: &away,
			Watches: []state.Watch{{Kind: "nodes", SilentSeconds: 5400}, {Kind: "services", SilentSeconds: 7, Revision: "1234"}}},
		Table:       state.Table{BehindSeconds: 12.5, LastInSync: &away, Repairs: 7, LastRepair: &state.Repair{Time: away, By: "nft (pid 7)", Found: "1 chain (services)"}},
		Overlay:     &state.Overlay{Mode: "vxlan", Probed: true, PeerCount: 2 * n, LostCount: n, MTU: 1450},
		CNI:         &state.CNI{File: "/etc/cni/net.d/x"},
		Conntrack:   &state.Conntrack{Entries: 99, Limit: 100},
		SourceCheck: &state.SourceCheck{Dropped: 17, Last: &away},
		LastSync:    &state.Sync{Time: now, TookSeconds: 0.0123, Error: "netlink: no buffer space"},
	}
	for i := range n {
		s.Overlay.Peers = append(s.Overlay.Peers, state.Peer{Node: fmt.Sprint("peer-", i), Missed: 4, Lost: true, Addrs: []string{"192.0.2.1"}})
		s.Problems = append(s.Problems, state.Problem{Kind: "Service", Name: fmt.Sprint("default/s", i), Field: "spec", Text: "evil \x1b[2J\n\u202etext"})
	}
	s.ProblemCount = n
	return s
}

// TestStatus: a sick agent fits on a screen, names everything that is wrong, and none of
// its words reaches the terminal as a control character.
func TestStatus(t *testing.T) {
	got := statusText(t, sick(300), false)
	if n := strings.Count(got, "\n"); n > 45 {
		t.Errorf("%d lines are no screen", n)
	}
	for _, want := range []string{
		"Ready       no: no routes\n", "https://api:6443 is unreachable since 2026-03-01 01:30:00Z (90m ago): connection refused",
		"last event or bookmark, ago: nodes 90m, services 7s (revision 1234)\n", "a change has waited for 12.5s", "took 12.3ms and failed: netlink: no buffer space", "7 since the agent runs; the last 2026-03-01 01:30:00Z (90m ago) after nft (pid 7) changed the table: 1 chain (services)",
		"vxlan, not ready, MTU of pods 1450, 300 of 600 peers do not answer:\n", "- peer-0 (192.0.2.1): 4 probes in a row\n",
		"- and 290 more: -o wide\n", "/etc/cni/net.d/x is not in place", "99 of 100 entries (99 %)", "Forged      17 packets of pods with a source address of others were dropped, the last 2026-03-01 01:30:00Z (90m ago)\n", `evil \x1b[2J\n\u202etext`, "runs since 2026-02-26 03:00:00Z (3d ago)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("control characters reach the terminal: %q", got)
	}
	if n := strings.Count(statusText(t, sick(300), true), "\n"); n < 600 {
		t.Errorf("-o wide prints %d lines", n)
	}
	if n := len(sick(3).Faults()); n != 4 {
		t.Errorf("%d faults: %q", n, sick(3).Faults())
	}
}

// TestStatusFine: a new agent without anything, and one that is fine.
func TestStatusFine(t *testing.T) {
	now := time.Now()
	s := &state.State{Time: now, Since: now.Add(time.Hour), Ready: true, Table: state.Table{InSync: true}, Manifests: "/m"}
	got := statusText(t, s, false)
	for _, want := range []string{"(0s ago)", "Ready       yes\n", "none; objects come from /m", "Table       in sync\n", "Repairs     none", "Problems    none\n", "Overlay     none"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	s.Programming = []state.Programming{{TookSeconds: 0.2}, {TookSeconds: 0.1}, {TookSeconds: 3}}
	if got := statusText(t, s, false); !strings.Contains(got, "last 3 changes of endpoints reached the kernel within 200ms, 99 % within 3s") {
		t.Errorf("no latency in\n%s", got)
	}
	if f := s.Faults(); len(f) > 0 {
		t.Errorf("faults %q", f)
	}
	if got := statusText(t, s, false); strings.Contains(got, "Forged") {
		t.Errorf("a source check that is off:\n%s", got)
	}
	s.SourceCheck = &state.SourceCheck{}
	if got := statusText(t, s, false); !strings.Contains(got, "Forged      no packet of a pod") {
		t.Errorf("no source check in\n%s", got)
	}
	s.APIServer = &state.APIServer{URL: "u"}
	if got := statusText(t, s, false); !strings.Contains(got, "u was not reached yet") || len(s.Faults()) != 1 {
		t.Errorf("an API server that was never reached: %q in\n%s", s.Faults(), got)
	}
}
