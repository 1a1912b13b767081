// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"net/netip"
	"testing"
	"unsafe"
)

// TestBytes: addresses come back, those of one form differ from those of another, and none is
// the zero value.
func TestBytes(t *testing.T) {
	seen := map[Bytes]netip.Addr{}
	for _, text := range []string{"", "0.0.0.0", "10.1.2.3", "::", "::ffff:10.1.2.3", "a01:203::", "fd00::1"} {
		var want netip.Addr
		if text != "" {
			want = netip.MustParseAddr(text)
		}
		b := BytesOf(want)
		if got := b.Addr(); got != want || b.IsValid() != want.IsValid() {
			t.Errorf("%s comes back as %s, valid: %v", want, got, b.IsValid())
		}
		if other, twice := seen[b]; twice {
			t.Errorf("%s and %s have the same bytes", want, other)
		}
		seen[b] = want
	}
	if b := BytesOf(netip.MustParseAddr("fe80::1%eth0")); b.Addr() != netip.MustParseAddr("fe80::1") {
		t.Errorf("an address with a zone comes back as %s", b.Addr())
	}
	if size := unsafe.Sizeof(Bytes{}); size != 17 {
		t.Errorf("an address takes %d bytes", size)
	}
}
