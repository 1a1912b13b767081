// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// lanes holds the frontends whose wanted and present state may differ, each in one lane.
// The order of the lanes is the order in which they are written: those that others depend
// on; then those that changed a moment ago, so that a change does not wait for a load of
// the whole table; then those that wait since the table was loaded; then large changes,
// one namespace after the other.
type lanes struct {
	vital, fresh, rest queue[inet.Addr]
	bulk               map[string]*queue[inet.Addr] // by namespace
	order              []string                     // namespaces in bulk, the next one first

	lane map[inet.Addr]place
	at   map[netip.Addr]int // how many of an address wait
	most int                // that waited since the maps were made
}

// place says where a frontend waits.
type place struct {
	lane      lane
	namespace string // in bulk
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
		vital: newQueue[inet.Addr](), fresh: newQueue[inet.Addr](), rest: newQueue[inet.Addr](), bulk: map[string]*queue[inet.Addr]{},
		lane: map[inet.Addr]place{}, at: map[netip.Addr]int{},
	}
}

// mostFresh is how many frontends that are new to the kernel overtake others: about a
// batch. When an agent starts, all of them are new.
const mostFresh = ruleset.DefaultLimit

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
		return &l.fresh
	case rest:
		return &l.rest
	}
	q := l.bulk[p.namespace]
	if q == nil {
		q = new(newQueue[inet.Addr]())
		l.bulk[p.namespace] = q
		l.order = append(l.order, p.namespace)
	}
	return q
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
		l.queue(now).remove(key)
	}
	l.lane[key] = to
	l.most = max(l.most, len(l.lane))
	l.queue(to).push(key)
}

func (l *lanes) remove(key inet.Addr) {
	now, waits := l.lane[key]
	if !waits {
		return
	}
	l.queue(now).remove(key)
	delete(l.lane, key)
	if l.at[key.IP]--; l.at[key.IP] == 0 {
		delete(l.at, key.IP)
	}
}

// push adds a frontend that changed. One that waits already may move up. served says that
// the kernel has it.
func (l *lanes) push(key inet.Addr, isVital, served bool) {
	now, waits := l.lane[key]
	switch {
	case isVital:
		l.put(key, place{lane: vital})
	case waits && now.lane == bulk: // its new state is written when it has its turn
	case served || waits && now.lane == fresh || l.fresh.len() < mostFresh:
		l.put(key, place{lane: fresh})
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
	namespace, _, _ := strings.Cut(owner, "/")
	l.put(key, place{bulk, namespace})
}

// rotate gives the next namespace the first turn in bulk.
func (l *lanes) rotate() {
	if len(l.order) > 1 {
		l.order = append(l.order[1:], l.order[0])
	}
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

// eachBulk calls f for the frontends of bulk until it returns false.
func (l *lanes) eachBulk(f func(inet.Addr) bool) bool {
	return !slices.ContainsFunc(l.order, func(namespace string) bool { return !l.bulk[namespace].each(f) })
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
	l.fresh.compact()
	l.rest.compact()
	for namespace, q := range l.bulk {
		if q.compact(); q.len() == 0 {
			delete(l.bulk, namespace)
		}
	}
	l.order = slices.DeleteFunc(l.order, func(namespace string) bool { return l.bulk[namespace] == nil })
}
