// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// Prepare does the longest part of Set for a frontend of many backends, and calls pause after
// each part of it with the number of elements. During a pause all other methods may be called,
// for the same frontend as well. Calling it is optional; Set or Delete for the same key must
// follow.
func (s *State) Prepare(key inet.Addr, f nat.Frontend, pause func(elements int)) {
	if len(f.Backends) <= mostAtOnce {
		return
	}
	f = f.Canonical(key)
	s.abandon(key)
	x := &exchange{old: s.want[key].Backends, now: f.Backends, cluster: s.cluster}
	if isSame(x.old, x.now) {
		return
	}
	s.prepared[key] = x
	if more := len(x.now) - len(x.old); more > 0 {
		x.came = make([]*nat.Backend, 0, more)
	}
	for was, is := range exchanged(x.old, x.now, pause) {
		if is != nil {
			x.came = append(x.came, is)
		}
		if was != nil {
			x.gone = append(x.gone, was)
		}
	}
	for x.counted < len(x.came) && s.prepared[key] == x {
		s.countNext(x)
		pause(mostAtOnce)
	}
	x.done = true
}

// countNext counts some of the backends that came.
func (s *State) countNext(x *exchange) {
	to := min(len(x.came), x.counted+mostAtOnce)
	for ; x.counted < to; x.counted++ {
		s.countBackend(x.came[x.counted], x.cluster, +1)
	}
}

// exchange counts what comes with f in place of old, unless that is prepared, and returns what
// is gone.
func (s *State) exchange(key inet.Addr, old, f *nat.Frontend) (gone []*nat.Backend) {
	if x := s.prepared[key]; x != nil && x.done && isSame(x.old, old.Backends) && isSame(x.now, f.Backends) && isSame(x.cluster, s.cluster) {
		delete(s.prepared, key)
		return x.gone
	}
	s.abandon(key)
	for was, is := range exchanged(old.Backends, f.Backends, func(int) {}) {
		if is != nil {
			s.countBackend(is, s.cluster, +1)
		}
		if was != nil {
			gone = append(gone, was)
		}
	}
	return gone
}

// abandon takes back what was prepared for a frontend.
func (s *State) abandon(key inet.Addr) {
	if x := s.prepared[key]; x != nil {
		delete(s.prepared, key)
		s.leave(x.came[:x.counted], x.cluster)
	}
}

// leaveAll is leave for all backends of a frontend.
func (s *State) leaveAll(list []nat.Backend) {
	if len(list) <= mostAtOnce {
		for i := range list {
			s.countBackend(&list[i], s.cluster, -1)
		}
		return
	}
	gone := make([]*nat.Backend, len(list))
	for i := range list {
		gone[i] = &list[i]
	}
	s.leave(gone, s.cluster)
}

// leave ends the need of backends for elements of shared sets: of a few at once, of many when
// Leave is called.
func (s *State) leave(list []*nat.Backend, cluster []netip.Prefix) {
	s.leaving = append(s.leaving, leaving{list, cluster})
	if len(list) <= mostAtOnce {
		last := len(s.leaving) - 1
		s.leaveNow(&s.leaving[last])
		s.leaving = s.leaving[:last]
	}
}

func (s *State) leaveNow(l *leaving) {
	n := min(len(l.list), mostAtOnce)
	for _, b := range l.list[:n] {
		s.countBackend(b, l.cluster, -1)
	}
	l.list = l.list[n:]
}

// Leave goes on with what Set and Delete left over of frontends with many backends, for about
// n backends. Until then their elements stay in the shared sets.
func (s *State) Leave(n int) {
	for ; n > 0 && len(s.leaving) > 0; n -= mostAtOnce {
		s.leaveNow(&s.leaving[0])
		if len(s.leaving[0].list) == 0 {
			s.leaving = s.leaving[1:]
		}
	}
}

// Leaving reports whether Leave has something left to do.
func (s *State) Leaving() bool { return len(s.leaving) > 0 }
