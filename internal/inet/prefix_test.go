// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.0/8,10.1.0.0/16,fd00::/8", "10.0.0.0/8"},
		{"10.1.2.3/16,10.0.0.0/16", "10.0.0.0/16,10.1.0.0/16"},
		{"0.0.0.0/0,192.0.2.0/24", "0.0.0.0/0"},
		{"192.0.2.1/32,192.0.2.1/32", "192.0.2.1/32"},
	} {
		var ps []netip.Prefix
		for text := range strings.SplitSeq(tt.in, ",") {
			ps = append(ps, netip.MustParsePrefix(text))
		}
		got := ""
		for _, p := range Normalize(ps, IPv4) {
			got += "," + p.String()
		}
		if got = strings.TrimPrefix(got, ","); got != tt.want {
			t.Errorf("Normalize(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}
