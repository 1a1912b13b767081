// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// newRunner returns a runner whose round began a minute ago.
func newRunner() *runner {
	return &runner{World: &world.World{Cluster: &lab.Cluster{}}, out: io.Discard, giveUp: giveUp, start: time.Now().Add(-time.Minute), tally: newTally()}
}

func testService(sticky bool, pods ...string) *service {
	s := &service{Service: world.Service{Name: "web", Sticky: sticky, ClusterIPs: world.VIPs(lab.Config{}, 1)}, left: map[string]time.Duration{}}
	for _, name := range pods {
		s.Endpoints = append(s.Endpoints, world.Endpoint{Pod: &lab.Pod{Host: &lab.Host{Name: name}}})
	}
	return s
}

// TestAnswered judges trouble: what an event permits is counted by its kind, what a busy
// machine explains is counted apart, and the rest is a failure.
func TestAnswered(t *testing.T) {
	const s = time.Second
	flush := chaos.Step{Kind: chaos.Flush, Begin: true}
	for _, tt := range []struct {
		name         string
		trouble      outageOf
		took         time.Duration
		failed, slow int
		waited       int
	}{
		{"no trouble", outageOf{}, 10 * time.Millisecond, 0, 0, 0},
		{"refused after a flush", outageOf{11 * s, 12 * s, lab.ErrRefused, true, false}, s, 0, 0, 1},
		{"refused before it", outageOf{9 * s, 9 * s, lab.ErrRefused, true, false}, s, 1, 0, 0},
		{"refused long after it", outageOf{11 * s, 14 * s, lab.ErrRefused, true, false}, 3 * s, 1, 0, 0},
		{"silence for a moment", outageOf{50 * s, 50 * s, lab.ErrTimeout, true, false}, s, 0, 1, 0},
		{"silence for long", outageOf{50 * s, 55 * s, lab.ErrTimeout, true, false}, 5 * s, 1, 0, 0},
		{"reset", outageOf{50 * s, 50 * s, lab.ErrReset, true, false}, s, 1, 0, 0},
		{"a stream stalls without a reason", outageOf{50 * s, 55 * s, nil, true, true}, 5 * s, 1, 0, 0},
		{"a stream stalls for twice the outage", outageOf{10 * s, 14 * s, nil, true, true}, 4 * s, 0, 0, 1},
		{"a stream stalls for longer", outageOf{10 * s, 18 * s, nil, true, true}, 8 * s, 1, 0, 0},
	} {
		r := newRunner()
		r.history.Begin(flush, 10*s)
		r.answered(&client{name: "c"}, tt.took, tt.trouble)
		if len(r.failures) != tt.failed || r.tally.slow != tt.slow || r.tally.outages[chaos.Flush].clients != tt.waited || r.tally.done != 1 {
			t.Errorf("%s: failures %q, tally %+v", tt.name, r.failures, r.tally)
		}
	}
}

// TestAnsweredBusy: what would be a failure is none while the machine had other things to do.
func TestAnsweredBusy(t *testing.T) {
	const s = time.Second
	r := newRunner()
	r.history.Busy(55*s, 58*s)
	r.answered(&client{name: "c"}, 6*s, outageOf{54 * s, 59 * s, lab.ErrTimeout, true, false})
	if len(r.failures) != 0 || r.tally.slow != 1 {
		t.Errorf("failures %q, tally %+v", r.failures, r.tally)
	}
	r.answered(&client{name: "c"}, 6*s, outageOf{54 * s, 59 * s, lab.ErrRefused, true, false})
	if len(r.failures) != 1 {
		t.Errorf("a refusal: failures %q", r.failures)
	}
}

// TestResetPermitted: only what takes the translation of packets away excuses the end of
// an established connection.
func TestResetPermitted(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		kind        chaos.Kind
		err         error
		start, took time.Duration
		want        bool
	}{
		{chaos.Flush, lab.ErrReset, 11 * s, s, true},
		{chaos.Flush, lab.ErrReset, 9 * s, 2 * s, true},
		{chaos.Flush, lab.ErrTimeout, 11 * s, s, false},
		{chaos.Flush, lab.ErrReset, 15 * s, s, false},
		{chaos.Flush, lab.ErrReset, 8 * s, s, false},
		{chaos.Flush, lab.ErrReset, 11 * s, 7 * s, true}, // by a probe
		{chaos.Flush, lab.ErrReset, 11 * s, 12 * s, false},
		{chaos.Dormant, lab.ErrReset, 11 * s, s, true},
		{chaos.Rule, lab.ErrReset, 11 * s, s, false},
		{chaos.Kill, lab.ErrReset, 11 * s, s, false},
	} {
		r := newRunner()
		r.history.Begin(chaos.Step{Kind: tt.kind, Begin: true}, 10*s)
		if got := r.resetPermitted(tt.err, tt.start, tt.took); got != tt.want || (r.tally.outages[tt.kind].resets == 1) != tt.want {
			t.Errorf("%s, %v from %s: %v, %+v", tt.kind, tt.err, tt.start, got, r.tally.outages)
		}
	}
}

// TestJudgeServer: a pod that left answers nobody, and sticky clients stay.
func TestJudgeServer(t *testing.T) {
	const s = time.Second
	r := newRunner()
	svc := testService(true, "a", "b", "c")
	c := &client{name: "sticky", svc: svc}
	ask := func(server string, at time.Duration, want int) {
		t.Helper()
		r.failures = nil
		r.judgeServer(c, server, at)
		if len(r.failures) != want {
			t.Errorf("%s at %s: %q, want %d failures", server, at, r.failures, want)
		}
	}
	ask("a", 10*s, 0)
	ask("a", 11*s, 0)
	ask("b", 12*s, 1) // moved without a reason
	svc.toggle(svc.Endpoints[1], false, 13*s)
	ask("b", 14*s, 0) // the agent does not know yet
	ask("b", 16*s, 1)
	ask("c", 17*s, 0) // b has left
	r.history.Begin(chaos.Step{Kind: chaos.Flush, Begin: true}, 18*s)
	ask("a", 19*s, 0) // the kernel's memory was lost
	ask("a", 29*s, 0)
	ask("c", 30*s, 1)
}

// TestAsk tries until there is an answer, and hands over what went wrong before.
func TestAsk(t *testing.T) {
	r := newRunner()
	l := &load{r: r}
	n := 0
	l.ask(&client{name: "c"}, time.Millisecond, func() (lab.Reply, error) {
		if n++; n < 3 {
			return lab.Reply{}, lab.ErrRefused
		}
		return lab.Reply{Server: "a"}, nil
	})
	if n != 3 || len(r.failures) != 1 || !strings.Contains(r.failures[0], "which nothing permits: refused") {
		t.Errorf("%d attempts: %q", n, r.failures)
	}
	r = newRunner()
	r.start = time.Now()
	l.r = r
	l.ask(&client{name: "c"}, time.Millisecond, func() (lab.Reply, error) {
		r.start = r.start.Add(-giveUp)
		return lab.Reply{}, lab.ErrTimeout
	})
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "no answer within 30s") {
		t.Errorf("without an answer: %q", r.failures)
	}
}

// TestToggle: pods join, leave at once or by way of terminating, and some stay.
func TestToggle(t *testing.T) {
	svc := testService(false, "a", "b", "c")
	all := append([]world.Endpoint(nil), svc.Endpoints...)
	var got []string
	for _, step := range []struct {
		pod       int
		terminate bool
	}{{0, true}, {1, false}, {0, false}, {0, false}, {1, false}, {1, false}} {
		got = append(got, svc.toggle(all[step.pod], step.terminate, time.Second))
	}
	want := []string{"a terminates in web", "web keeps b", "a is removed from web", "a joins web", "b leaves web", "b joins web"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at, away := svc.leftAt("a"); at != time.Second || away {
		t.Errorf("a left at %s, away %v", at, away)
	}
	if _, away := svc.leftAt("c"); away || svc.proto() != inet.TCP {
		t.Errorf("c is away: %v", away)
	}
}

const listed = `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "fairlead"}},
{"set": {"name": "pods4", "elem": ["10.0.0.1", "10.0.0.2"]}},
{"map": {"name": "affinity4", "flags": ["timeout", "dynamic"]}},
{"chain": {"name": "services"}}, {"chain": {"name": "prerouting", "hook": "prerouting"}},
{"rule": {"chain": "services", "handle": 7}}]}`

// TestDamage turns picks into commands by what the table has.
func TestDamage(t *testing.T) {
	l, err := parseTable(listed)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind chaos.Kind
		pick uint64
		want string
	}{
		{chaos.Rule, 5, "delete rule inet fairlead services handle 7"},
		{chaos.Chain, 1, "flush chain inet fairlead prerouting"},
		{chaos.Policy, 9, "add chain inet fairlead prerouting { policy drop; }"},
		{chaos.Set, 1, "flush map inet fairlead affinity4"},
		{chaos.Element, 3, `{"nftables":[{"delete":{"element":{"family":"inet","table":"fairlead","name":"pods4","elem":["10.0.0.2"]}}}]}`},
		{chaos.Flush, 4, "delete table inet fairlead"},
		{chaos.Dormant, 0, "add table inet fairlead { flags dormant; }"},
		{chaos.Kill, 0, ""},
	} {
		if got := l.damage(chaos.Step{Kind: tt.kind, Pick: tt.pick}); got != tt.want {
			t.Errorf("%s %d: %s, want %s", tt.kind, tt.pick, got, tt.want)
		}
	}
	for _, k := range []chaos.Kind{chaos.Rule, chaos.Chain, chaos.Policy, chaos.Set, chaos.Element} {
		if got := new(listing).damage(chaos.Step{Kind: k}); got != "" {
			t.Errorf("%s in an empty table: %s", k, got)
		}
	}
	if _, err := parseTable("x"); err == nil {
		t.Error("no JSON is no error")
	}
}

// TestCanonical: two tables that serve the same are equal, and one that does not is not.
func TestCanonical(t *testing.T) {
	const table = `table inet fairlead {
	map backends4 {
		type ipv4_addr . inet_proto . inet_service . integer : ipv4_addr . inet_service
		elements = { 10.96.0.1 . tcp . 80 . %[1]d comment "a/b" : 10.244.1.2 . 80,
			     10.96.0.1 . tcp . 80 . 1 comment "a/b" : 10.244.1.%[2]d . 80 }
	}
	map vips4 {
		elements = { 10.96.0.1 . tcp . 80 comment "a/b" : goto pick4-%[3]d }
	}
	map affinity4-1 {
		elements = { 10.96.0.1 . tcp . 80 . 10.244.1.%[3]d timeout 3h : 10.244.1.2 . 80 }
	}
	chain pick4-%[3]d {
		dnat ip to numgen random mod %[3]d map @backends4
	}
	chain services {
		ip daddr vmap @vips4
	}
}
`
	a, b, c := canonical(fmt.Sprintf(table, 0, 3, 2)), canonical(fmt.Sprintf(table, 2, 3, 4)), canonical(fmt.Sprintf(table, 0, 4, 2))
	if got := differences(a, b); got != "" {
		t.Errorf("equal tables differ:\n%s", got)
	}
	want := `after the events: backends4: 10.96.0.1 . tcp . 80 comment "a/b" : 10.244.1.3 . 80
from nothing:     backends4: 10.96.0.1 . tcp . 80 comment "a/b" : 10.244.1.4 . 80
`
	if diff := cmp.Diff(want, differences(a, c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(a) != 9 {
		t.Errorf("%d lines are compared:\n%s", len(a), strings.Join(a, "\n"))
	}
}

// TestWriteHistory prints what happened when something failed, and keeps it in any case.
func TestWriteHistory(t *testing.T) {
	r := newRunner()
	var out strings.Builder
	r.out, r.Logs = &out, t.TempDir()
	r.note("an event")
	cfg := chaos.Config{Seed: 7}
	if err := r.writeHistory(cfg); err != nil || out.Len() > 0 {
		t.Errorf("%v, printed %q", err, &out)
	}
	r.fail("a promise: %v", errors.New("broken"))
	if err := r.writeHistory(cfg); err != nil || !strings.Contains(out.String(), "s  an event\n") || !strings.Contains(out.String(), "FAIL  a promise: broken") {
		t.Errorf("%v, printed %q", err, &out)
	}
	text, err := os.ReadFile(r.Logs + "/seed-7.txt")
	if err != nil || string(text) != out.String() {
		t.Errorf("the file has %q: %v", text, err)
	}
}

// TestTally prints what events cost.
func TestTally(t *testing.T) {
	var sum tally
	for range 2 {
		one := newTally()
		one.done, one.slow, one.slowest, one.conflist = 10, 1, time.Second, 800*time.Millisecond
		one.busy = 700 * time.Millisecond
		one.events[chaos.Flush], one.events[chaos.Kill] = 2, 1
		one.delayed(chaos.Flush, outage{clients: 3, longest: 70 * time.Millisecond})
		sum.add(&one)
	}
	var out strings.Builder
	sum.print(&out)
	want := `  kill            2 times
  flush           4 times, 6 connections waited, up to 70 ms after the event
  the conflist was back at most 800 ms after its disk had room
  the machine was busy for 1.4s: a connection over its loopback device waited
  2 connections waited up to 1000 ms for a reason that no event explains, such as a busy machine
`
	if diff := cmp.Diff(want, out.String()); diff != "" || sum.done != 20 {
		t.Errorf("%d done (-want +got):\n%s", sum.done, diff)
	}
}

// TestAwaited: a file that was away when the next event began is a failure, unless the agent
// was away, too.
func TestAwaited(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		free   time.Duration
		stop   bool
		failed int
	}{
		{"at once", 59 * s, false, 0},
		{"late", 50 * s, false, 1},
		{"the agent is stopped", 50 * s, true, 0},
	} {
		r := newRunner()
		if tt.stop {
			r.history.Begin(chaos.Step{Kind: chaos.Stop, Begin: true}, 45*s)
		}
		r.awaited(chaos.Step{Kind: chaos.DiskFull}, tt.free)
		if len(r.failures) != tt.failed {
			t.Errorf("%s: failures %q, want %d", tt.name, r.failures, tt.failed)
		}
	}
}
