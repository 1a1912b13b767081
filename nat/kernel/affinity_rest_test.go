// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"testing"
	"time"

	"fairlead/nat"
)

// TestSearchRests asks for two searches of all maps in a row. The second one waits, and entries
// of removed backends do not.
func TestSearchRests(t *testing.T) {
	c := NewAffinityCleaner(nil)
	again := time.AfterFunc(time.Hour, c.inbox.Wake)
	defer again.Stop()
	c.RemoveExcept(nat.Remembered{})
	if first := c.take(again); first.keep == nil {
		t.Error("the first search waits")
	}
	c.searchAt = time.Now().Add(time.Hour)
	c.RemoveExcept(nat.Remembered{})
	c.Remove([]nat.Pair{{}})
	<-c.inbox.Woken()
	if early := c.take(again); early.keep != nil || len(early.gone) != 1 {
		t.Errorf("a search did not wait, or entries of removed backends did: %+v", early)
	}
	c.searchAt = time.Now().Add(50 * time.Millisecond)
	late := c.take(again)
	if late.keep == nil {
		select {
		case <-c.inbox.Woken():
		case <-time.After(20 * time.Second):
			t.Fatal("nothing wakes the worker for the search")
		}
		late = c.take(again)
	}
	if late.keep == nil || len(late.gone) != 0 {
		t.Errorf("the search is lost, or the entries are deleted twice: %+v", late)
	}
}

// TestRestAfter: searches take a small part of the time, and a slow one delays the next by a
// minute at most.
func TestRestAfter(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 0, 10 * time.Millisecond: 300 * time.Millisecond, 2 * time.Second: time.Minute, time.Hour: time.Minute,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("after a search of %s the next one waits for %s, want %s", took, got, want)
		}
	}
}
