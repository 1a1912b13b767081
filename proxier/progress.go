// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/store"
)

// progress follows changes until the kernel has them. While one tenant keeps changing, there
// is never a time at which nothing is left to do; progress finds out when all that came
// before some time is done.
type progress struct {
	services  epochs[types.NamespacedName]
	frontends epochs[inet.Addr]
	// began and opened are when the closed epoch and the open one began, zero while there is
	// none.
	began, opened time.Time
	// empty is set while the closed epoch is that from before the first change.
	empty bool
	// read is set after the table was read, until drop.
	read bool
}

func newProgress() progress {
	return progress{services: epochs[types.NamespacedName]{of: map[types.NamespacedName]uint64{}}, frontends: epochs[inet.Addr]{of: map[inet.Addr]uint64{}}}
}

// start notes that there is something to do.
func (p *progress) start(now time.Time) {
	if p.began.IsZero() {
		p.began, p.opened, p.empty = now, now, true
		p.next()
	}
}

// passed reports whether the closed epoch is done, with the time when it began; then the
// open one is closed. It says nothing about the epoch from before the first change.
func (p *progress) passed(now time.Time) (began time.Time, ok bool) {
	if p.services.left > 0 || p.frontends.left > 0 {
		return time.Time{}, false
	}
	began, ok = p.began, !p.empty
	p.began, p.opened, p.empty = p.opened, now, false
	p.next()
	return began, ok
}

func (p *progress) next() {
	p.services.next()
	p.frontends.next()
}

// drop forgets the frontends of which nothing is left to do since the table was read, because
// another program did it. It appends them to list. While the table is loading it is too early: then
// some frontends wait that the state does not know yet.
func (p *progress) drop(waits func(inet.Addr) bool, list []inet.Addr) []inet.Addr {
	if !p.read {
		return list
	}
	p.read = false
	for key := range p.frontends.of {
		if !waits(key) {
			p.frontends.done(key)
			list = append(list, key)
		}
	}
	return list
}

// reset forgets everything, because nothing is left to do.
func (p *progress) reset() {
	p.services.reset()
	p.frontends.reset()
	p.began, p.opened, p.read = time.Time{}, time.Time{}, false
}

// epochs holds what is to be done, each with the epoch of its newest change. There are two
// epochs at a time: the open one and the closed one before.
type epochs[K comparable] struct {
	of     map[K]uint64
	number uint64 // of the open epoch
	left   int    // of the closed epoch
	most   int    // changes since of was made
}

// reset forgets everything.
func (e *epochs[K]) reset() {
	e.number, e.left = 0, 0
	if e.most > store.MostIdle {
		e.of, e.most = map[K]uint64{}, 0
	}
	clear(e.of)
}

// add notes a change, which replaces an older one.
func (e *epochs[K]) add(key K) {
	e.done(key)
	e.of[key] = e.number
	e.most = max(e.most, len(e.of))
}

func (e *epochs[K]) done(key K) {
	if number, ok := e.of[key]; ok {
		delete(e.of, key)
		if number < e.number {
			e.left--
		}
	}
}

// next closes the open epoch, after the closed one is done.
func (e *epochs[K]) next() {
	e.number++
	e.left = len(e.of)
}
