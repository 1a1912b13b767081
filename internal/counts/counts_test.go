// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package counts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts.txt")
	base := Costs{"endpoint added": {2, 4, 2, 300, 36, 100, 4000}, "nothing": {}}
	if err := Compare(path, base, true); err != nil {
		t.Fatal(err)
	}
	if err := Compare(path, base, false); err != nil {
		t.Errorf("the same counts: %v", err)
	}
	for _, c := range []struct {
		got  Costs
		want string // "" is no error
	}{
		{Costs{"endpoint added": {2, 4, 2, 315, 36, 105, 4200}, "nothing": {}}, ""},
		{Costs{"endpoint added": {1, 3, 1, 200, 30, 80, 3000}, "nothing": {}}, ""},
		{Costs{"endpoint added": {3, 4, 2, 300, 36, 100, 4000}, "nothing": {}}, `operations of "endpoint added" grew from 2 to 3, at most 2`},
		{Costs{"endpoint added": {2, 4, 2, 316, 36, 100, 4000}, "nothing": {}}, `bytes sent of "endpoint added" grew from 300 to 316, at most 315`},
		{Costs{"endpoint added": {2, 4, 2, 300, 36, 106, 4000}, "nothing": {}}, `allocations of "endpoint added" grew from 100 to 106`},
		{Costs{"endpoint added": {2, 4, 2, 300, 36, 100, 4000}, "nothing": {0, 0, 1}}, `system calls of "nothing" grew from 0 to 1`},
		{Costs{"nothing": {}}, `"endpoint added" is in the baseline only`},
		{Costs{"endpoint added": {}, "nothing": {}, "new": {}}, `"new" is not in the baseline`},
	} {
		if strings.HasPrefix(c.want, Allocations.String()) && !Allocations.counted() {
			continue
		}
		err := Compare(path, c.got, false)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v: %v", c.got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "make counts")):
			t.Errorf("%v: %v, want %s", c.got, err, c.want)
		}
	}
	if got := Lower(path, Costs{"endpoint added": {2, 4, 1, 300, 36, 100, 3000}, "nothing": {}}); Heap.counted() && strings.Count(got, "\n") != 2 || !strings.Contains(got, "system calls") {
		t.Errorf("lower counts: %q", got)
	}
}

func TestParseNamesTheLine(t *testing.T) {
	dir := t.TempDir()
	good := Costs{"a": {}}.text()
	for _, bad := range []string{
		"a", "a: operations 1", strings.Replace(good, "messages 0", "messages x", 1),
		strings.Replace(good, "messages", "letters", 1), good + strings.TrimPrefix(good, header),
	} {
		path := filepath.Join(dir, "counts.txt")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Compare(path, Costs{"a": {}}, false); err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := Compare(filepath.Join(dir, "missing"), Costs{}, false); err == nil {
		t.Error("a missing baseline was accepted")
	}
}

func TestDoubled(t *testing.T) {
	once := Cost{Operations: 100, Allocations: 1000, Heap: 1 << 20}
	if err := Doubled("grow", once, Cost{Operations: 220, Allocations: 2200, Heap: 2 << 20}); err != nil {
		t.Error(err)
	}
	for k, square := range map[Kind]int{Operations: 400, Allocations: 4000, Heap: 4 << 20, Calls: 3} {
		if !k.counted() {
			continue
		}
		twice := once
		twice[k] = square
		if err := Doubled("grow", once, twice); err == nil || !strings.Contains(err.Error(), k.String()+` of "grow"`) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestSame(t *testing.T) {
	little := Cost{Operations: 8, Allocations: 50, Heap: 4096}
	if err := Same("join", little, Cost{Operations: 9, Allocations: 60, Heap: 5000}); err != nil {
		t.Error(err)
	}
	for k, grown := range map[Kind]int{Operations: 12, Allocations: 64, Heap: 8192, Calls: 3} {
		if !k.counted() {
			continue
		}
		much := little
		much[k] = grown
		if err := Same("join", little, much); err == nil || !strings.Contains(err.Error(), k.String()+` of "join"`) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestDoCounts(t *testing.T) {
	var keep [][]byte
	c := Do(func() {
		for range 1000 {
			keep = append(keep, make([]byte, 100))
		}
	})
	if c[Allocations] < 1000 || c[Heap] < 100_000 || len(keep) != 1000 {
		t.Errorf("%v", c)
	}
}
