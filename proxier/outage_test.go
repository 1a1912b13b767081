// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"testing"
	"time"

	kmetrics "k8s.io/component-base/metrics"

	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
)

// TestOutageBeforeSync repairs the table while the API server is away for a minute. The outage
// ends with the repair and not with the first sync, or the node would not be ready after that.
func TestOutageBeforeSync(t *testing.T) {
	inWaitingLoop(t, metrics.NewMetrics(func(...kmetrics.Registerable) {}), func(t *testing.T, l *loop) {
		t.Helper()
		l.after(0)
		l.table.found.Store(&ruleset.Snapshot{Exists: true, Flags: ruleset.TableDormant})
		l.table.say(func(ruleset.Batch) error {
			l.table.found.Store(nil)
			return nil
		})
		l.table.watcher()
		l.after(time.Second)
		if l.table.text() == "" {
			t.Fatal("nothing was repaired")
		}
		l.after(time.Minute)
		if out := l.Outage(); out != 0 {
			t.Errorf("a minute after the repair, and before the first sync, the outage takes %s", out)
		}
		l.store.Delivered("somebody")
		l.after(0)
		if !l.Ready() {
			t.Fatal("no first sync")
		}
		if out := l.Outage(); out != 0 {
			t.Errorf("after the first sync the outage takes %s", out)
		}
	})
}

// TestOutage repairs the table once, again and again with a second between, without an end, and
// again and again without anything to put back.
func TestOutage(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		name   string
		run    func(*outage)
		want   time.Duration // 20 s after the start
		before time.Duration // 10 s before that
	}{
		{"nothing", func(*outage) {}, 0, 0},
		{"once", func(o *outage) { o.change(at(9000)); o.look(); o.repairing(at(9020)); o.done(at(9050)) }, 0, 50 * time.Millisecond},
		{"not noticed", func(o *outage) { o.repairing(at(15000)); o.done(at(15100)) }, 100 * time.Millisecond, 0},
		{"fight", func(o *outage) {
			for ms := 0; ms < 20000; ms += 1000 {
				o.change(at(ms + 10)) // later changes are part of the same outage
				o.change(at(ms + 20))
				o.look()
				o.repairing(at(ms + 990))
				o.done(at(ms + 1000))
			}
		}, 9900 * time.Millisecond, 9900 * time.Millisecond},
		{"without an end", func(o *outage) {
			o.change(at(5000))
			o.look()
			o.repairing(at(5010))
			for ms := 6000; ms < 20000; ms += 1000 {
				o.change(at(ms))
				o.look()
				o.repairing(at(ms + 100))
			}
		}, OutageWindow, 5 * time.Second},
		{"foreign objects", func(o *outage) {
			for ms := 0; ms < 20000; ms += 1000 {
				o.change(at(ms))
				o.look()
				o.done(at(ms + 900))
			}
		}, 0, 0},
	} {
		o := &outage{}
		tt.run(o)
		if got := o.within(at(20000)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got := o.within(at(10000)); tt.name != "fight" && tt.name != "not noticed" && got != tt.before {
			t.Errorf("%s, 10 s before: %s, want %s", tt.name, got, tt.before)
		}
		if n := len(o.spans); n > 12 {
			t.Errorf("%s: %d outages are kept", tt.name, n)
		}
	}
}
