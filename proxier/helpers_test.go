// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
)

func mustPrefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func primaryTestAddrs() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} }
