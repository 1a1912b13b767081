// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestRemembered asks for backends of each list, of no list and of a frontend without affinity.
func TestRemembered(t *testing.T) {
	sticky, plain := nattest.Addr("10.96.0.1:80", inet.TCP), nattest.Addr("10.96.0.2:80", inet.TCP)
	f := nat.Frontend{
		Policy: nat.Local, Affinity: time.Minute,
		Backends:      nattest.Backends("10.244.0.9:80", "10.244.0.1:80", "10.244.0.1:8080", "[fd00::1]:80"),
		LocalBackends: []netip.AddrPort{netip.MustParseAddrPort("10.244.0.9:80")},
	}
	f = f.Canonical(sticky)
	r := nat.Remembered{}
	r.Add(sticky, &f)
	f.Affinity = 0
	r.Add(plain, &f)
	for _, tt := range []struct {
		at      inet.Addr
		backend string
		local   bool
		want    bool
	}{
		{sticky, "10.244.0.1:80", false, true},
		{sticky, "10.244.0.1:8080", false, true},
		{sticky, "10.244.0.9:80", false, true},
		{sticky, "10.244.0.9:80", true, true},
		{sticky, "10.244.0.1:80", true, false},
		{sticky, "10.244.0.1:81", false, false},
		{sticky, "10.244.0.5:80", false, false},
		{sticky, "[fd00::1]:80", false, false}, // of the other family
		{plain, "10.244.0.1:80", false, false},
		{nattest.Addr("10.96.0.1:80", inet.UDP), "10.244.0.1:80", false, false},
	} {
		pair := nat.Pair{Frontend: tt.at, Backend: netip.MustParseAddrPort(tt.backend), Local: tt.local}
		if got := r.Has(pair); got != tt.want {
			t.Errorf("Has(%v) = %v", pair, got)
		}
		one := f
		if one.Affinity = time.Minute; tt.at == plain {
			one.Affinity = 0
		}
		if got := one.MayRemember(pair); tt.at.Proto == inet.TCP && got != tt.want {
			t.Errorf("MayRemember(%v) = %v", pair, got)
		}
	}
}
