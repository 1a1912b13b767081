// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// lanes holds the frontends whose wanted and present state may differ, each in one lane.
// The order of the lanes is the order in which they are written: those that others depend
// on; then those that changed a moment ago, so that a change does not wait for a load of
// the whole table; then those that wait since the table was loaded; then large changes.
type lanes struct {
	vital, rest queue[inet.Addr]
	fresh, bulk byNamespace
	freshes     int // frontends in fresh

	lane map[inet.Addr]place
	at   map[netip.Addr]int // how many of an address wait
	most int                // that waited since the maps were made
}

// place says where a frontend waits.
type place struct {
	lane      lane
	namespace string // in fresh and bulk
}

type lane uint8

const (
	vital lane = iota
	fresh
	rest
	bulk
)

func newLanes() lanes {
	return lanes{
		vital: newQueue[inet.Addr](), rest: newQueue[inet.Addr](), fresh: newByNamespace(), bulk: newByNamespace(),
		lane: map[inet.Addr]place{}, at: map[netip.Addr]int{},
	}
}

// Bounds of how many frontends that are new to the kernel overtake others: about a batch in
// all, and some of each namespace. When an agent starts, all of them are new.
const (
	mostFresh    = ruleset.DefaultLimit
	mostFreshOne = mostFresh / 64
)

// expect makes room for n frontends that wait since the table was loaded, unless some wait already:
// a map that grows to the size of a cluster takes as much memory again on the way.
func (l *lanes) expect(n int) {
	if n <= mostIdle || len(l.lane) > 0 {
		return
	}
	*l = newLanes()
	l.lane, l.at, l.rest = make(map[inet.Addr]place, n), make(map[netip.Addr]int, n), sizedQueue[inet.Addr](n)
}

func (l *lanes) len() int { return len(l.lane) }

func (l *lanes) has(key inet.Addr) bool {
	_, waits := l.lane[key]
	return waits
}

// queue returns the queue of a place.
func (l *lanes) queue(p place) *queue[inet.Addr] {
	switch p.lane {
	case vital:
		return &l.vital
	case fresh:
		return l.fresh.queue(p.namespace)
	case rest:
		return &l.rest
	}
	return l.bulk.queue(p.namespace)
}

// put moves a frontend to a place. One that is there already keeps its turn.
func (l *lanes) put(key inet.Addr, to place) {
	now, waits := l.lane[key]
	switch {
	case !waits:
		l.at[key.IP]++
	case now == to:
		return
	default:
		l.leave(key, now)
	}
	l.lane[key] = to
	l.most = max(l.most, len(l.lane))
	l.queue(to).push(key)
	if to.lane == fresh {
		l.freshes++
	}
}

// leave takes a frontend out of the queue of its place.
func (l *lanes) leave(key inet.Addr, now place) {
	l.queue(now).remove(key)
	if now.lane == fresh {
		l.freshes--
	}
}

func (l *lanes) remove(key inet.Addr) {
	now, waits := l.lane[key]
	if !waits {
		return
	}
	l.leave(key, now)
	delete(l.lane, key)
	if l.at[key.IP]--; l.at[key.IP] == 0 {
		delete(l.at, key.IP)
	}
}

// push adds a frontend that changed. One that waits already may move up. served says that
// the kernel has it.
func (l *lanes) push(key inet.Addr, owner string, isVital, served bool) {
	now, waits := l.lane[key]
	namespace := namespaceOf(owner)
	switch {
	case isVital:
		l.put(key, place{lane: vital})
	case waits && now.lane == bulk: // its new state is written when it has its turn
	case served || waits && now.lane == fresh || l.fresh.lenOf(namespace) < mostFreshOne || l.freshes < mostFresh:
		l.put(key, place{fresh, namespace})
	default:
		l.put(key, place{lane: rest})
	}
}

// pushLast adds a frontend that may have changed long ago.
func (l *lanes) pushLast(key inet.Addr, isVital bool) {
	now, waits := l.lane[key]
	switch {
	case isVital:
		l.put(key, place{lane: vital})
	case !waits || now.lane == vital:
		l.put(key, place{lane: rest})
	}
}

// pushBulk moves a frontend that takes more than its share of a batch.
func (l *lanes) pushBulk(key inet.Addr, owner string) {
	l.put(key, place{bulk, namespaceOf(owner)})
}

// namespaceOf returns the namespace of the owner of a frontend.
func namespaceOf(owner string) string {
	namespace, _, _ := strings.Cut(owner, "/")
	return namespace
}

// sort orders the frontends that did not just change: those with the most connections
// first, then by address.
func (l *lanes) sort(traffic map[inet.Addr]uint64) {
	l.vital.sort(inet.Addr.Compare)
	if len(traffic) == 0 {
		l.rest.sort(inet.Addr.Compare)
		return
	}
	l.rest.sort(func(a, b inet.Addr) int { return cmp.Or(cmp.Compare(traffic[b], traffic[a]), a.Compare(b)) })
}

// mostIdle is how many entries a map may have held and be kept when it is empty: maps never
// shrink, and those of a first sync have as many entries as the cluster has frontends.
const mostIdle = 1 << 10

func (l *lanes) compact() {
	if len(l.lane) == 0 && l.most > mostIdle {
		*l = newLanes()
		return
	}
	l.vital.compact()
	l.rest.compact()
	l.fresh.compact()
	l.bulk.compact()
}
