// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package masqfile

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

var compare = []cmp.Option{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}

func TestParse(t *testing.T) {
	full := Config{
		NonMasqueradeCIDRs: prefixes("10.0.0.0/8", "fd00::/8"),
		MasqLinkLocal:      true, MasqLinkLocalIPv6: true, ResyncInterval: 90 * time.Second,
	}
	changed := func(change func(*Config)) Config {
		c := Default()
		change(&c)
		return c
	}
	tests := []struct {
		name, text string
		want       Config
	}{
		{"empty", "", Default()},
		{"comment", "# nothing\n", Default()},
		{"null", "null\n", Default()},
		{"empty object", "{}", Default()},
		{"YAML", "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - fd00::/8\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true\nresyncInterval: 1m30s\n", full},
		{"JSON", `{"nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"], "masqLinkLocal": true, "masqLinkLocalIPv6": true, "resyncInterval": "90s"}`, full},
		{"as of ip-masq-agent's README", "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\nresyncInterval: 60s\n", changed(func(c *Config) { c.NonMasqueradeCIDRs = prefixes("10.0.0.0/8") })},
		{"spare nobody", "nonMasqueradeCIDRs: []\n", changed(func(c *Config) { c.NonMasqueradeCIDRs = nil })},
		{"field without value", "nonMasqueradeCIDRs:\nmasqLinkLocal: true\n", changed(func(c *Config) { c.MasqLinkLocal = true })},
		{"limit of ip-masq-agent", "cidrLimit: 64\n", Default()},
		{"yes", "masqLinkLocal: yes\n", changed(func(c *Config) { c.MasqLinkLocal = true })},
		{"alias", "nonMasqueradeCIDRs: [&a 10.0.0.0/8, *a]\n", changed(func(c *Config) { c.NonMasqueradeCIDRs = prefixes("10.0.0.0/8", "10.0.0.0/8") })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compare...); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"not YAML", "a: b: c\n", "mapping values are not allowed in this context"},
		{"a list", "- 10.0.0.0/8\n", "line 1: not a mapping of fields to values"},
		{"a word", "10.0.0.0/8\n", "line 1: not a mapping of fields to values"},
		{"two documents", "{}\n---\n{}\n", "there is more than one document"},
		{"typing mistake", "nonMasqueradeCIDR: []\n", "line 1: nonMasqueradeCIDR: there is no such field"},
		{"case", "NonMasqueradeCidrs: []\n", "line 1: NonMasqueradeCidrs: there is no such field; did you mean nonMasqueradeCIDRs?"},
		{"twice", "masqLinkLocal: true\nmasqLinkLocal: false\n", "line 2: masqLinkLocal: is there already, in line 1"},
		{"no list", "nonMasqueradeCIDRs: 10.0.0.0/8\n", `line 1: nonMasqueradeCIDRs: "10.0.0.0/8" is not a list`},
		{"no CIDR", "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.1, {a: b}]\n", "line 1: nonMasqueradeCIDRs[1]: \"10.0.0.1\" is not a CIDR\nline 1: nonMasqueradeCIDRs[2]: \"{...}\" is not a CIDR"},
		{"host bits", "nonMasqueradeCIDRs:\n - 10.0.0.1/8\n", `line 2: nonMasqueradeCIDRs[0]: "10.0.0.1/8" has bits set behind its prefix; did you mean 10.0.0.0/8?`},
		{"mapped", "nonMasqueradeCIDRs: ['::ffff:10.0.0.0/104']\n", `line 1: nonMasqueradeCIDRs[0]: "::ffff:10.0.0.0/104" is not a CIDR`},
		{"number", "resyncInterval: 60\n", `line 1: resyncInterval: "60" is not a duration such as "60s"`},
		{"negative", "resyncInterval: -1s\n", `line 1: resyncInterval: "-1s" is not a duration such as "60s"`},
		{"no bool", "masqLinkLocal: 'true'\nmasqLinkLocalIPv6: maybe\n", "line 1: masqLinkLocal: \"true\" is neither true nor false\nline 2: masqLinkLocalIPv6: \"maybe\" is neither true nor false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.text))
			if err == nil {
				t.Fatalf("got %+v", c)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNonMasquerade(t *testing.T) {
	tests := []struct {
		name string
		c    Config
		want []netip.Prefix
	}{
		{"no file", Absent(), nil},
		{"empty file", Default(), prefixes("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fe80::/10")},
		{"each once", Config{NonMasqueradeCIDRs: prefixes("fe80::/10", "10.0.0.0/8", "10.0.0.0/8"), MasqLinkLocal: true}, prefixes("10.0.0.0/8", "fe80::/10")},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.c.NonMasquerade(), compare...); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// FuzzParse checks that Parse does not panic and that accepted settings are complete.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "{}", "nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1s", "&a [*a]", "? {a: b}\n: c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if c.ResyncInterval <= 0 {
			t.Errorf("resync interval %v", c.ResyncInterval)
		}
		for _, p := range c.NonMasqueradeCIDRs {
			if !p.IsValid() || p != p.Masked() {
				t.Errorf("%v is not a CIDR", p)
			}
		}
	})
}
