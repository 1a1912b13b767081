// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fairlead/nat"
)

func TestRunRepairs(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		l.table.flush()
		l.table.watcher()
		l.after(0)
		if !l.table.has("10.96.0.1 . tcp . 80") || l.table.loads.Load() != 2 {
			t.Errorf("%d loads, and the kernel has\n%s", l.table.loads.Load(), l.table.text())
		}
	})
}

// TestRunFight lets another program flush the table 100 times a second for a minute. The
// first change is repaired at once; then there is one load a second, and meanwhile
// changes of endpoints do not wait. After peace the next repair is immediate again.
func TestRunFight(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		before := l.table.loads.Load()
		l.table.watcher()
		l.after(0)
		if got := l.table.loads.Load() - before; got != 1 {
			t.Fatalf("%d loads at the first change, want 1", got)
		}
		for i := range 6000 {
			l.table.watcher()
			l.after(10 * time.Millisecond)
			if i%500 != 0 {
				continue
			}
			l.put(2, byte(i/500+1))
			l.after(0)
			if text := fmt.Sprintf("10.244.2.%d . 8080", i/500+1); !l.table.has(text) {
				t.Errorf("an endpoint that came %d ms after the start of the fight waits", 10*i)
			}
		}
		if got := l.table.loads.Load() - before; got < 55 || got > 70 {
			t.Errorf("%d loads within a minute, want about one a second", got)
		}
		before = l.table.loads.Load()
		l.after(lastPause)
		if got := l.table.loads.Load() - before; got > 1 {
			t.Errorf("%d loads after the last change, want at most 1", got)
		}
		l.after(peace)
		before = l.table.loads.Load()
		l.table.watcher()
		l.after(0)
		if got := l.table.loads.Load() - before; got != 1 {
			t.Errorf("%d loads at the first change after peace, want 1", got)
		}
	})
}

// TestFightLines counts the lines about a fight.
func TestFightLines(t *testing.T) {
	nft := nat.Writer{Name: "nft", PID: 7}
	for _, tt := range []struct {
		name string
		by   func(i int) nat.Writer
		want int // repairs before the line about the fight
	}{
		{"named", func(int) nat.Writer { return nft }, fightRepairs - 1},
		{"named once", func(i int) nat.Writer {
			if i == 1 {
				return nft
			}
			return nat.Writer{}
		}, fightRepairs - 1},
		{"named late", func(i int) nat.Writer {
			if i == 5 {
				return nft
			}
			return nat.Writer{}
		}, 5},
		{"unnamed", func(int) nat.Writer { return nat.Writer{} }, fightUnnamed - 1},
	} {
		var f fight
		repairs, fights := 0, 0
		now := time.Unix(1e9, 0)
		for i := range 3600 { // one hour
			now = now.Add(time.Second)
			f.wait(now)
			f.loading(now, nat.Writer{})
			repair, fought := f.repaired(now, tt.by(i))
			if repair {
				repairs++
			}
			if fought {
				fights++
			}
			if fought && tt.name != "unnamed" && f.by != nft {
				t.Errorf("%s: the line about the fight names %v", tt.name, f.by)
			}
		}
		if repairs != tt.want || fights != 6 {
			t.Errorf("%s: %d lines about repairs and %d about the fight, want %d and 6", tt.name, repairs, fights, tt.want)
		}
	}
}

// TestFightTakenBack has a program take back what it changed before each load, so that there
// is nothing to repair.
func TestFightTakenBack(t *testing.T) {
	nft := nat.Writer{Name: "nft", PID: 7}
	for _, tt := range []struct {
		name string
		by   func(i int) nat.Writer
		want []int // the seconds of the lines in 15 minutes
	}{
		{"named", func(int) nat.Writer { return nft }, []int{fightLoads - 1, fightLoads - 1 + 600}},
		{"named rarely", func(i int) nat.Writer {
			if i%10 == 0 {
				return nft
			}
			return nat.Writer{}
		}, []int{90, 690}},
		{"unnamed", func(int) nat.Writer { return nat.Writer{} }, nil},
		{"in peace", func(int) nat.Writer { return nft }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f fight
			var got []int
			start := time.Unix(1e9, 0)
			for i := range 900 {
				now := start.Add(time.Duration(i) * time.Second)
				if tt.name == "in peace" && i%15 != 0 {
					continue
				}
				f.wait(now)
				if f.loading(now, tt.by(i)) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("lines at %v s, want %v", got, tt.want)
			}
		})
	}
}
