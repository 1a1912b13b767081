// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"testing"
	"time"
)

// TestPace searches whenever it may. The first search is at once, and all of them together take
// 2% of the time. A search that takes long makes the next one wait for 10 s.
func TestPace(t *testing.T) {
	var p pace
	start := time.Unix(1000, 0)
	if rest := p.rest(start); rest != 0 {
		t.Errorf("the first search waits %s", rest)
	}
	now, searching := start, time.Duration(0)
	for range 100 {
		now = now.Add(p.rest(now))
		began := now
		now = now.Add(30 * time.Millisecond)
		searching += now.Sub(began)
		p.searched(began, now)
	}
	if share := float64(searching) / float64(now.Sub(start)); share < 0.019 || share > 0.021 {
		t.Errorf("searches take %.3f of the time", share)
	}
	p.searched(now, now.Add(time.Minute))
	if rest := p.rest(now.Add(time.Minute)); rest != 10*time.Second {
		t.Errorf("rest %s", rest)
	}
	if rest := p.rest(now.Add(time.Hour)); rest != 0 {
		t.Errorf("rest %s after an hour", rest)
	}
}
