// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/netip"
	"testing"
	"time"
)

// TestResumed: a wrong answer is excused by an entry of the same client and port, for the same
// address, that leads to the server which answered and is older than the connection. An entry that
// differs in one of these, as the one of a real fault does, excuses nothing.
func TestResumed(t *testing.T) {
	const s = time.Second
	at := netip.MustParseAddrPort
	flow := func(client, to, server string, since time.Duration) Flow {
		return Flow{Client: at(client), To: at(to), Servers: []netip.Addr{netip.MustParseAddr(server)}, Since: since}
	}
	conn := flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.1", 60*s)
	conn.Servers = append(conn.Servers, netip.MustParseAddr("fd00::1"))
	for _, tt := range []struct {
		name  string
		entry Flow
		want  bool
	}{
		{"an old one", flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.1", 59*s), true},
		{"of an earlier round", flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.1", -3600*s), true},
		{"the other address of the server", flow("10.0.0.9:40000", "10.96.0.1:80", "fd00::1", 59*s), true},
		{"that the table made", flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.1", 60*s), false},
		{"that began a moment before", flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.1", 59950*time.Millisecond), false},
		{"that leads to another server", flow("10.0.0.9:40000", "10.96.0.1:80", "10.0.0.2", 59*s), false},
		{"of another port", flow("10.0.0.9:40001", "10.96.0.1:80", "10.0.0.1", 59*s), false},
		{"of another client", flow("10.0.0.8:40000", "10.96.0.1:80", "10.0.0.1", 59*s), false},
		{"to another port", flow("10.0.0.9:40000", "10.96.0.1:81", "10.0.0.1", 59*s), false},
		{"to the server itself", flow("10.0.0.9:40000", "10.0.0.1:80", "10.0.0.1", 59*s), false},
	} {
		if got := Resumed(&conn, []Flow{flow("10.0.0.7:1", "10.96.0.1:80", "10.0.0.1", 0), tt.entry}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if Resumed(&conn, nil) {
		t.Error("no entry explains an answer")
	}
}
