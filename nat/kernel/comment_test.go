// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
)

// FuzzComment gives elements of every set that has comments an owner with any name. What nft
// lists is what was planned, so the name adds no element and no line, and nft reads its own
// listing back.
func FuzzComment(f *testing.F) {
	for _, owner := range []string{
		"default/web:http", `x" : goto refuse, 10.96.0.99 . tcp . 1 comment "y`, "a\n\t}\n}\nflush ruleset\n", "\x1b[2J\x1b]0;x\x07", "nul\x00nul", `\`, `\"`, "#", "$x", "@vips4", "*", "\xff\xfe", "caf\u00e9\u202e", " ",
		strings.Repeat("n", 127), strings.Repeat("n", 128), strings.Repeat("n", 129), strings.Repeat("n", 253), strings.Repeat("n", 254), strings.Repeat("n", 255), strings.Repeat("\"", 70_000),
	} {
		f.Add(owner)
	}
	f.Fuzz(func(t *testing.T, owner string) {
		ns := nstest.New(t)
		table := open(t, ns)
		s := plan.NewState()
		s.Configure(nattest.Settings())
		s.SetHostPorts([]nat.HostPort{{Addr: nattest.Addr("0.0.0.0:8080", inet.TCP), Pod: netip.MustParseAddrPort("10.244.0.3:80"), Owner: owner}})
		sticky := nat.Frontend{
			Policy: nat.Local, Owner: owner, Affinity: 1e9, Backends: nattest.Backends("10.244.0.3:8443", "10.244.1.3:8443"),
			LocalBackends: []netip.AddrPort{netip.MustParseAddrPort("10.244.0.3:8443")}, Restricted: true, Sources: nattest.Prefixes("192.0.2.0/24"),
		}
		s.Set(nattest.Addr("203.0.113.5:443", inet.TCP), sticky)
		s.Set(nattest.Addr("0.0.0.0:30443", inet.TCP), sticky)
		s.Set(nattest.Addr("10.96.0.10:53", inet.UDP), nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "honest/dns", Backends: nattest.Pods(1)})
		settle(t, s, table)
		text := list(t, ns)
		if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(text)); diff != "" {
			t.Fatalf("nft lists something else (-plan +nft):\n%s", diff)
		}
		if bad := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && (r < ' ' || r > '~') }); bad >= 0 {
			t.Errorf("the listing acts on a terminal: %q", text[max(0, bad-40):bad+1])
		}
		check := nstest.Command(t, ns, "nft", "-c", "-f", "-")
		check.Stdin = strings.NewReader(withoutRules(text))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("nft does not read its listing: %v\n%s", err, out)
		}
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if drift := s.Adopt(found); len(drift) > 0 {
			t.Errorf("the table read back differs: %s", drift)
		}
	})
}

// withoutRules returns a listing without the rules of chains: nft 1.0.6 lists some that it
// does not read.
func withoutRules(text string) string {
	var b strings.Builder
	inChain := false
	for line := range strings.Lines(text) {
		chain := strings.HasPrefix(line, "\tchain ")
		if inChain = chain || inChain && line != "\t}\n"; !inChain || chain {
			b.WriteString(line)
		}
	}
	return b.String()
}
