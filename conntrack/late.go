// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"fairlead/internal/inet"
)

// A server may send a reply just when the flow to it is deleted. The kernel takes
// that reply for a new flow from the server to the client. From then on the
// client's packets belong to that reversed flow, so NAT does not see them, and
// the client stays with the server for as long as it goes on. This happens where
// a flow was not translated: for example, to a server on this node whose port
// became a NodePort.
//
// So the worker checks each client whose untranslated flow it deleted, again and
// again, until the client has a flow that is right or has been silent for
// lateSilence. Whoever sends first after a deletion wins, so a deletion can fail
// many times: checks continue at growing intervals. The intervals are random, or
// they could keep pace with the client.
const (
	lateFirst   = 10 * time.Millisecond
	lateLast    = time.Second
	lateSilence = 30 * time.Second // the kernel's default timeout of an unanswered UDP flow
	// lateLimit bounds how many clients are checked at a time.
	lateLimit = 1 << 16
)

// lateReply is a client to check. client and dialled are those of the deleted
// flow.
type lateReply struct {
	Flow
	at    time.Time     // of the next check
	wait  time.Duration // until the check after it
	heard time.Time     // when the client or the server was last seen
}

// lateReplies are the clients to check, ordered by time. The worker alone uses
// them. The zero value is empty.
type lateReplies struct {
	queue lateQueue
	known map[Flow]struct{}
}

// add schedules checks of the client of a deleted flow. It reports false if there
// are too many clients already.
func (l *lateReplies) add(f Flow, now time.Time) bool {
	// A reply to a translated flow comes from another address, and a late segment of
	// TCP or chunk of SCTP begins no flow.
	if _, ok := l.known[f]; ok || f.translated() || f.Dialled.Proto != inet.UDP {
		return true
	}
	if len(l.known) >= lateLimit {
		return false
	}
	if l.known == nil {
		l.known = map[Flow]struct{}{}
	}
	l.known[f] = struct{}{}
	heap.Push(&l.queue, &lateReply{Flow: f, at: now.Add(jitter(lateFirst)), wait: lateFirst, heard: now})
	return true
}

// next returns when the next check is due, false without any.
func (l *lateReplies) next() (time.Time, bool) {
	if len(l.queue) == 0 {
		return time.Time{}, false
	}
	return l.queue[0].at, true
}

// due removes and returns a client that is to be checked by now, or nil. Give it
// back to again unless it needs no further check; then give it to done.
func (l *lateReplies) due(now time.Time) *lateReply {
	if len(l.queue) == 0 || l.queue[0].at.After(now) {
		return nil
	}
	return heap.Pop(&l.queue).(*lateReply)
}

// again schedules the next check. seen tells that there was a flow of the client.
func (l *lateReplies) again(r *lateReply, seen bool, now time.Time) {
	if seen {
		r.heard = now
	}
	if now.Sub(r.heard) >= lateSilence {
		l.done(r)
		return
	}
	r.wait = min(r.wait*3/2, lateLast)
	r.at = now.Add(jitter(r.wait))
	heap.Push(&l.queue, r)
}

func (l *lateReplies) done(r *lateReply) { delete(l.known, r.Flow) }

// jitter returns between half of d and one and a half times d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// lateQueue implements heap.Interface.
type lateQueue []*lateReply

func (q lateQueue) Len() int           { return len(q) }
func (q lateQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q lateQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *lateQueue) Push(x any)        { *q = append(*q, x.(*lateReply)) }
func (q *lateQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
