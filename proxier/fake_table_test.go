// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// fakeTable is a kernel that says yes, unless told otherwise. Safe for
// concurrent use.
type fakeTable struct {
	mu     sync.Mutex
	answer func(ruleset.Batch) error
	asked  []time.Time // commits, taken or not
	taken  strings.Builder
	loads  atomic.Int64
	poke   func(nat.Writer)
	found  atomic.Pointer[ruleset.Snapshot] // by loads; nil for no table
}

func (f *fakeTable) Load(context.Context) (*ruleset.Snapshot, error) {
	f.loads.Add(1)
	if found := f.found.Load(); found != nil {
		return found, nil
	}
	return &ruleset.Snapshot{}, nil
}

func (f *fakeTable) Commit(_ context.Context, b ruleset.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	if len(f.asked) > 10000 {
		return nat.ErrPermission // instead of hanging
	}
	if f.answer != nil {
		if err := f.answer(b); err != nil {
			return err
		}
	}
	f.taken.WriteString(b.String())
	return nil
}

func (f *fakeTable) Watch(ctx context.Context, poke func(nat.Writer)) error {
	f.mu.Lock()
	f.poke = poke
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

// watcher reports a change by another program.
func (f *fakeTable) watcher() { f.poke(nat.Writer{Name: "nft", PID: 7}) }

// say replaces the answer to commits and returns how many there were.
func (f *fakeTable) say(answer func(ruleset.Batch) error) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
	return len(f.asked)
}

func (f *fakeTable) has(text string) bool { return strings.Contains(f.text(), text) }

// text returns what the kernel took.
func (f *fakeTable) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken.String()
}

// flush removes what the kernel has, as another program may.
func (f *fakeTable) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken.Reset()
}

// commits returns when there were commits, taken or not.
func (f *fakeTable) commits() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}
