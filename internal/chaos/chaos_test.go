// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testConfig(seed uint64) Config {
	return Config{Seed: seed, Duration: time.Minute, Gap: 300 * time.Millisecond, Nodes: 3, Shares: AllKinds()}
}

// TestScheduleRepeats: a seed is a schedule, and another seed is another.
func TestScheduleRepeats(t *testing.T) {
	a, b, c := Schedule(testConfig(1)), Schedule(testConfig(1)), Schedule(testConfig(2))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("one seed has two schedules:\n%s", diff)
	}
	if cmp.Equal(a, c) {
		t.Error("two seeds have one schedule")
	}
}

// TestScheduleFits: steps are in order, what begins ends within the round, and nothing
// happens twice at a time to what can be away only once.
func TestScheduleFits(t *testing.T) {
	seen := map[Kind]bool{}
	for seed := range uint64(50) {
		open := map[int]Step{}
		lanes := map[busyKey]int{}
		last := time.Duration(0)
		for _, s := range Schedule(testConfig(seed)) {
			if s.At < last || s.At >= time.Minute || s.Node < 0 || s.Node >= 3 {
				t.Fatalf("seed %d: %s after %s", seed, s, last)
			}
			last = s.At
			seen[s.Kind] = true
			key := busyKey{promiseOf(s.Kind).lane, s.Node}
			if key.lane == apiLane {
				key.node = 0
			}
			switch {
			case s.Begin && s.Kind.Lasts():
				open[s.Event] = s
				if lanes[key]++; key.lane != noLane && lanes[key] > 1 {
					t.Fatalf("seed %d: %s while another has its lane", seed, s)
				}
			case !s.Begin:
				if _, ok := open[s.Event]; !ok {
					t.Fatalf("seed %d: %s without a beginning", seed, s)
				}
				delete(open, s.Event)
				lanes[key]--
			}
		}
		if len(open) > 0 {
			t.Errorf("seed %d: %v never end", seed, open)
		}
	}
	if len(seen) != len(Kinds()) {
		t.Errorf("%d of %d kinds happen", len(seen), len(Kinds()))
	}
}

// TestScheduleBound: a longer bound makes agents stay away longer, with a time between in
// which they can repair everything.
func TestScheduleBound(t *testing.T) {
	cfg := Config{Seed: 3, Duration: time.Hour, Gap: time.Second, Nodes: 1, Shares: []Share{{Stop, 1}}, Longest: time.Minute}
	longest, back := time.Duration(0), -present
	from := map[int]time.Duration{}
	for _, s := range Schedule(cfg) {
		if s.Begin {
			from[s.Event] = s.At
			if s.At < back+present {
				t.Errorf("an agent that is back at %s is away at %s again", back, s.At)
			}
			continue
		}
		back = s.At
		longest = max(longest, s.At-from[s.Event])
	}
	if longest < 50*time.Second || longest > time.Minute {
		t.Errorf("the longest stop lasts %s", longest)
	}
	if got := Schedule(Config{Duration: time.Minute, Gap: time.Second, Nodes: 1}); got != nil {
		t.Errorf("without kinds: %v", got)
	}
}

// TestCovered asks which trouble a history explains.
func TestCovered(t *testing.T) {
	const s = time.Second
	var h History
	at := func(event int, k Kind, node int) Step { return Step{Event: event, Kind: k, Node: node, Begin: true} }
	h.Begin(at(0, Kill, 0), 1*s)
	h.End(at(0, Kill, 0), 2*s)
	h.Begin(at(1, Flush, 0), 20*s)
	h.Begin(at(2, Stop, 1), 40*s) // of another node
	h.Begin(at(3, Rule, 0), 41*s)
	h.Begin(at(4, Rule, 1), 60*s) // the agent is stopped
	for _, tt := range []struct {
		name     string
		from, to time.Duration
		want     bool
	}{
		{"nothing happened", 10 * s, 10 * s, false},
		{"a killed agent is no excuse", 1500 * time.Millisecond, 1600 * time.Millisecond, false},
		{"within the repair", 20 * s, 21 * s, true},
		{"before the damage", 19 * s, 21 * s, false},
		{"too long", 20 * s, 23 * s, false},
		{"the other node's agent is no excuse", 41 * s, 44 * s, false},
		{"a stopped agent repairs nothing", 60 * s, 600 * s, true},
	} {
		if got := h.Covered(tt.from, tt.to); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	h.End(at(2, Stop, 1), 70*s)
	if h.Covered(60*s, 600*s) || !h.Covered(60*s, 90*s) || h.Covered(60*s, 101*s) {
		t.Error("after 30 s away, repairs may take another 30 s and no more")
	}
	if !h.MayReset(21*s, 21*s) || !h.MayReset(5*s, 30*s) || h.MayReset(41*s, 41*s) || h.MayReset(23*s, 24*s) {
		t.Error("a flush may break connections for 2 s, the loss of a rule may not")
	}
	if k, from, ok := h.Cause(50 * s); k != Rule || from != 41*s || !ok {
		t.Errorf("cause at 50 s: %s at %s, %v", k, from, ok)
	}
	if _, _, ok := new(History).Cause(50 * s); ok {
		t.Error("an empty history names a cause")
	}
	if h.Count(Rule) != 2 || h.Count(Set) != 0 {
		t.Errorf("%d rules, %d sets", h.Count(Rule), h.Count(Set))
	}
}

// TestSilentUntil: TCP may be silent for twice as long as an outage, also if that begins
// while it waits for its next attempt, and until its next probe if its peer is gone.
func TestSilentUntil(t *testing.T) {
	const s = time.Second
	var h History
	away := func(event int, damage Kind, from, to time.Duration) {
		stop := Step{Event: event, Kind: Stop, Begin: true}
		h.Begin(stop, from)
		h.Begin(Step{Event: event + 1, Kind: damage, Begin: true}, from)
		if to != never {
			h.End(stop, to)
		}
	}
	away(0, Flush, 100*s, 120*s)    // repaired by 140 s
	away(10, Rule, 160*s, 162*s)    // by 167 s
	away(20, Flush, 1000*s, 1200*s) // by 1400 s
	h.Begin(Step{Event: 30, Kind: Flush, Begin: true}, 3000*s)
	for _, tt := range []struct {
		name  string
		since time.Duration
		gone  bool
		want  time.Duration
	}{
		{"nothing happened", 10 * s, false, 10 * s},
		{"just before", 98 * s, false, 98 * s},
		{"the next attempt meets the next outage", 100 * s, false, 235 * s},
		{"late in the first outage, the attempts end before the second", 130 * s, false, 151 * s},
		{"in the second", 165 * s, false, 170 * s},
		{"its peer is gone", 165 * s, true, 172 * s},
		{"attempts are two minutes apart at most", 1000 * s, false, 1521 * s},
		{"a short one", 3001 * s, false, 3004 * s},
	} {
		if got := h.SilentUntil(tt.since, tt.gone); got != tt.want {
			t.Errorf("%s: until %s, want %s", tt.name, got, tt.want)
		}
	}
	away(40, Dormant, 4000*s, never)
	if got := h.SilentUntil(4000*s, true); got != never {
		t.Errorf("while the agent is stopped: until %s", got)
	}
}

// TestFair: the time that a busy machine took counts twice, once for each stretch.
func TestFair(t *testing.T) {
	const s = time.Second
	var h History
	for _, b := range []span{{10 * s, 12 * s}, {11 * s, 13 * s}, {11 * s, 12 * s}, {20 * s, 21 * s}} {
		h.Busy(b.from, b.to)
	}
	for _, tt := range []struct{ from, to, want time.Duration }{
		{0, 10 * s, 10 * s}, {0, 15 * s, 9 * s}, {12 * s, 30 * s, 26 * s}, {10 * s, 12 * s, 10 * s}, {5 * s, 100 * s, 92 * s},
	} {
		if got := h.Fair(tt.from, tt.to); got != tt.want {
			t.Errorf("from %s to %s: %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

// TestCoveredChain: damage after damage is one outage, and damage while an agent starts
// waits for it.
func TestCoveredChain(t *testing.T) {
	const s = time.Second
	var h History
	for i := range 4 {
		h.Begin(Step{Event: i, Kind: Element, Begin: true}, time.Duration(i)*s+10*s)
	}
	if !h.Covered(10*s, 15*s) || h.Covered(10*s, 15*s+1) {
		t.Error("four elements in a row permit 5 s")
	}
	kill := Step{Event: 9, Kind: Kill, Begin: true}
	h.Begin(kill, 29*s)
	h.End(kill, 30*s)
	h.Begin(Step{Event: 10, Kind: Flush, Begin: true}, 31*s)
	if !h.Covered(31*s, 35*s) || h.Covered(31*s, 36*s) {
		t.Error("an agent that starts repairs once it has started")
	}
}

// TestCoveredWithoutAPI: an agent that starts while the API server is away repairs what
// concerns Services when that is back, and one that runs does not wait.
func TestCoveredWithoutAPI(t *testing.T) {
	const s = time.Second
	var h History
	api := Step{Event: 0, Kind: APIServer, Begin: true}
	h.Begin(api, 10*s)
	h.Begin(Step{Event: 1, Kind: Element, Node: 0, Begin: true}, 20*s)
	kill := Step{Event: 2, Kind: Memory, Node: 1, Begin: true}
	h.Begin(kill, 30*s)
	h.End(kill, 32*s)
	h.Begin(Step{Event: 3, Kind: Element, Node: 1, Begin: true}, 40*s)
	if h.Covered(20*s, 23*s) || !h.Covered(40*s, 1000*s) {
		t.Error("the agent of node 2 alone waits for the API server")
	}
	h.End(api, 50*s)
	if !h.Covered(40*s, 60*s) || h.Covered(40*s, 91*s) {
		t.Error("both wait for longer than the API server is away, or not at all")
	}
}

// TestLate: an endpoint that left may be used until the agents can know.
func TestLate(t *testing.T) {
	const s = time.Second
	var h History
	api := Step{Event: 0, Kind: APIServer, Begin: true}
	h.Begin(api, 10*s)
	if !h.Late(11*s, 100*s) {
		t.Error("without an API server nobody knows")
	}
	h.End(api, 12*s)
	for _, tt := range []struct {
		changed, now time.Duration
		want         bool
	}{
		{5 * s, 6 * s, true}, {5 * s, 8 * s, false}, {11 * s, 16 * s, true}, {11 * s, 21 * s, true}, {11 * s, 23 * s, false}, {9 * s, 16 * s, true}, {30 * s, 33 * s, false},
	} {
		if got := h.Late(tt.changed, tt.now); got != tt.want {
			t.Errorf("changed at %s, now %s: %v, want %v", tt.changed, tt.now, got, tt.want)
		}
	}
}

func TestParseShares(t *testing.T) {
	got, err := ParseShares([]string{"kill=20", "flush"})
	if diff := cmp.Diff([]Share{{Kill, 20}, {Flush, promiseOf(Flush).weight}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if all, err := ParseShares(nil); err != nil || len(all) != len(Kinds()) {
		t.Errorf("%d kinds: %v", len(all), err)
	}
	for word, want := range map[string]string{
		"earthquake": `"earthquake" is unknown, choose from endpoints, service`,
		"kill=0":     `weight "0" of event kill is not a number from 1 to 1000`,
		"kill=x":     `weight "x"`,
		"kill=1001":  `weight "1001"`,
	} {
		if _, err := ParseShares([]string{word}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", word, err)
		}
	}
	if _, err := ParseShares([]string{"kill", "kill=2"}); err == nil {
		t.Error("an event is named twice")
	}
	for _, k := range Kinds() {
		if promiseOf(k).name == "" || promiseOf(k).weight == 0 {
			t.Errorf("kind %d has no row", k)
		}
	}
}

// TestShares: a kind with a larger share happens more often.
func TestShares(t *testing.T) {
	cfg := testConfig(1)
	cfg.Duration, cfg.Shares = time.Hour, []Share{{Rule, 1}, {Element, 9}}
	n := map[Kind]int{}
	for _, s := range Schedule(cfg) {
		n[s.Kind]++
	}
	if ratio := float64(n[Element]) / float64(n[Rule]); ratio < 7 || ratio > 12 {
		t.Errorf("%d to %d events, want 9 to 1", n[Element], n[Rule])
	}
}

// TestDown: only an event that ends the agent explains that it is not there.
func TestDown(t *testing.T) {
	var h History
	for i, k := range []Kind{Stop, Kill, Memory} {
		s := Step{Event: i, Kind: k, Node: i, Begin: true}
		h.Begin(s, time.Second)
		if got := h.Down(i); got != (k != Stop) {
			t.Errorf("%s: %v", k, got)
		}
		h.End(s, 2*time.Second)
		if h.Down(i) {
			t.Errorf("%s has ended", k)
		}
	}
}
