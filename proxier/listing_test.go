// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

// listing is what nft lists, in parts.
type listing struct {
	elements []string            // "set element", in the order of the listing
	chains   map[string][]string // lines
}

// listing runs nft.
func (w *world) listing(t *testing.T) listing {
	t.Helper()
	out, err := nstest.Command(t, w.ns, "nft", "list", "table", "inet", "fairlead").Output()
	if err != nil {
		t.Fatalf("nft list: %v", err)
	}
	return parseListing(string(out))
}

func parseListing(text string) listing {
	l := listing{chains: map[string][]string{}}
	set, chain, inside := "", "", false // of its elements
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if f := strings.Fields(line); len(f) == 3 && f[2] == "{" {
			set, chain = f[1], ""
			if f[0] == "chain" {
				set, chain = "", f[1]
				l.chains[chain] = nil
			}
			continue
		}
		switch {
		case chain != "" && line != "" && line != "}":
			l.chains[chain] = append(l.chains[chain], line)
			continue
		case line == "}":
			chain = ""
		}
		rest, ok := strings.CutPrefix(line, "elements = { ")
		if inside = set != "" && (inside || ok); !inside {
			continue
		}
		for el := range strings.SplitSeq(strings.TrimSuffix(rest, " }"), ", ") {
			l.elements = append(l.elements, set+" "+strings.TrimSuffix(el, ","))
		}
		inside = !strings.HasSuffix(line, " }")
	}
	return l
}

var (
	slotNumber = regexp.MustCompile(`^(\S*(?:backends|locals)[46] .*) \. (\d+)((?: counter packets \d+ bytes \d+)? comment .*)$`)
	sizes      = regexp.MustCompile(`-\d+(-\d+)?$`)
	share      = regexp.MustCompile(`((?:sticky|remember|affinity)[46]?)-\d+-`)
	verdict    = regexp.MustCompile(`^((?:vips|nodeports)([46]) (.*?)(?: comment .*)? : goto )(\S+)$`)
	goesTo     = regexp.MustCompile(`(?:goto|jump) (\S+)`)
)

// normalised leaves out what depends on history: which slot an endpoint is in, which share
// of the affinity maps a Service has, a size class that is larger than it must be, and which shape
// a frontend without endpoints has kept.
func (l listing) normalised() []string {
	used := map[string]bool{} // frontends with slots, by map and key
	for _, el := range l.elements {
		if m := slotNumber.FindStringSubmatch(el); m != nil {
			used[m[1]] = true
		}
	}
	var out []string
	for _, el := range l.elements {
		if m := verdict.FindStringSubmatch(el); m != nil {
			el = m[1] + withoutEndpoints(m[2], m[3], m[4], used)
		}
		el = share.ReplaceAllString(el, "$1-")
		out = append(out, sizes.ReplaceAllString(slotNumber.ReplaceAllString(el, "$1$3"), ""))
	}
	slices.Sort(out)
	return out
}

// withoutEndpoints returns the chain that a frontend of some key goes to, or the chain that a new
// one goes to if it has no slots and the chain refuses then.
func withoutEndpoints(family, key, chain string, used map[string]bool) string {
	f := inet.FamilyOfDigit(family[0])
	shape, ok := ruleset.ShapeOfVerdict(chain, f, strings.HasPrefix(chain, "node-"))
	at := map[bool]string{false: "backends", true: "node-backends"}[shape.NodePort]
	if !ok || !shape.KeepsEmpty() || used[at+family+" "+key] {
		return chain
	}
	if shape.IsGuarded() {
		return "guarded-reject" + family
	}
	return "refuse"
}

// holes returns frontends whose slots are not 0 to N-1, each once.
func (l listing) holes() []string {
	slots := map[string][]int{}
	for _, el := range l.elements {
		if m := slotNumber.FindStringSubmatch(el); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return []string{err.Error()}
			}
			slots[m[1]] = append(slots[m[1]], n)
		}
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(slots)) {
		slices.Sort(slots[key])
		for want, got := range slots[key] {
			if got != want {
				out = append(out, fmt.Sprintf("%s has slots %v", key, slots[key]))
				break
			}
		}
	}
	return out
}

// idle returns chains that no packet can come to.
func (l listing) idle() []string {
	// The chains of source ranges are part of the program, and stay while no frontend
	// is restricted.
	reached := map[string]bool{"allowed4": true, "allowed6": true}
	var walk func(lines []string)
	walk = func(lines []string) {
		for _, line := range lines {
			for _, m := range goesTo.FindAllStringSubmatch(line, -1) {
				if name := strings.TrimSuffix(m[1], ","); !reached[name] {
					reached[name] = true
					walk(l.chains[name])
				}
			}
		}
	}
	walk(l.elements)
	for _, name := range l.inAdvance() {
		reached[name] = true
	}
	for name, lines := range l.chains {
		if slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "type ") }) {
			reached[name] = true // by the kernel
			walk(lines)
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l.chains)) {
		if !reached[name] {
			out = append(out, "no packet comes to chain "+name)
		}
	}
	return out
}

// inAdvance returns the chains that exist before a frontend uses them, because to make them later
// makes others wait: those of all sizes that draw from a map of more than 1,024 backends, and
// while there is a sticky Service those that read the maps of all clients.
func (l listing) inAdvance() []string {
	count := map[string]int{}
	for _, el := range l.elements {
		set, _, _ := strings.Cut(el, " ")
		count[set]++
	}
	var out []string
	for _, set := range ruleset.PickSets() {
		if count[set.String()] <= 1024 {
			continue
		}
		chains := ruleset.DrawChains(set)
		for i := range chains {
			out = append(out, chains[i].Name)
		}
	}
	if _, sticky := l.chains["remember"]; sticky {
		ruleset.AllSets(func(s ruleset.Set) {
			if s.Spec().Learnt {
				out = append(out, strings.Replace(s.String(), "affinity", "recall", 1))
			}
		})
	}
	return out
}

// chainsOf returns those chains that another listing has, too: of the others
// history decides, by the size of a class.
func (l listing) chainsOf(other listing) map[string][]string {
	out := map[string][]string{}
	for name, lines := range l.chains {
		if _, both := other.chains[name]; both {
			out[name] = lines
		}
	}
	return out
}

// TestListing makes sure that what the fuzz test looks for is found.
func TestListing(t *testing.T) {
	const backends = `		elements = { 10.96.0.1 . tcp . 80 . 1 comment "default/a" : 10.244.0.2 . 80,
			     10.96.0.1 . tcp . 80 . 0 comment "default/a" : 10.244.0.1 . 80 }
`
	const good = `table inet fairlead {
	map vips4 {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.1 . tcp . 80 comment "default/a" : goto cluster4-4 }
	}
	map backends4 {
		typeof ip daddr . meta l4proto . tcp dport . numgen random mod 2 : ip daddr . tcp dport
` + backends + `	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr . meta l4proto . th dport vmap @vips4
	}
	chain pick4-4 {
		dnat ip to x
	}
	chain cluster4-4 {
		goto pick4-4
	}
}
`
	for _, tt := range []struct {
		name, old, now string
		want           string
	}{
		{name: "good"},
		{name: "a hole", old: "80 . 1", now: "80 . 2", want: "backends4 10.96.0.1 . tcp . 80 has slots [0 2]"},
		{name: "a slot twice", old: "80 . 1", now: "80 . 0", want: "backends4 10.96.0.1 . tcp . 80 has slots [0 0]"},
		{name: "an idle chain", old: "goto pick4-4", now: "accept", want: "no packet comes to chain pick4-4"},
		{name: "no endpoint", old: backends, now: ""},
	} {
		l := parseListing(strings.Replace(good, tt.old, tt.now, 1))
		if got := strings.Join(append(l.holes(), l.idle()...), ", "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if got := strings.Contains(strings.Join(l.normalised(), "\n"), "goto refuse"); got != (tt.name == "no endpoint") {
			t.Errorf("%s: the address refuses: %v", tt.name, got)
		}
		if tt.name != "no endpoint" && len(l.elements) != 3 || len(l.chains) != 3 {
			t.Errorf("%s: %d elements and %d chains, want 3 of each", tt.name, len(l.elements), len(l.chains))
		}
	}
}
