// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"time"

	"fairlead/internal/inet"
)

// An answer that is on its way while its flow is deleted makes a new flow, from
// the server to the client. For that one the client's packets are answers, so
// they do not come to the NAT chains, and as long as the client goes on nothing
// changes. It happens where a flow was never translated, as that to a server on
// this node whose port has become a NodePort. So flows of answers are deleted
// when those that were on their way have come: most of them after a moment, those
// of a server that takes its time later.
const (
	promptAnswer = 50 * time.Millisecond
	slowAnswer   = 2 * time.Second
)

// answers are flows of answers to delete, and when. Only the worker uses it.
type answers []lateAnswer

type lateAnswer struct {
	Flow
	at time.Time
}

// expect has answers to a deleted flow looked for.
func (a *answers) expect(f Flow, now time.Time) {
	if f.Answerer != f.Dialled.AddrPort() {
		return // was translated: the server's answers do not come from there
	}
	back := Flow{Client: f.Answerer, Dialled: inet.Addr{IP: f.Client.Addr(), Port: f.Client.Port(), Proto: f.Dialled.Proto}}
	for _, wait := range []time.Duration{promptAnswer, slowAnswer} {
		*a = append(*a, lateAnswer{back, now.Add(wait)})
	}
}

// next is ready when there is something to delete, never when there is nothing.
func (a answers) next(now time.Time) <-chan time.Time {
	if len(a) == 0 {
		return nil
	}
	first := a[0].at
	for _, l := range a {
		if l.at.Before(first) {
			first = l.at
		}
	}
	return time.After(first.Sub(now))
}

// due takes out what is to be deleted by now.
func (a *answers) due(now time.Time) []Flow {
	var out []Flow
	var later answers
	for _, l := range *a {
		if l.at.After(now) {
			later = append(later, l)
		} else {
			out = append(out, l.Flow)
		}
	}
	*a = later
	return out
}

// sweepAnswers deletes the flows of answers that are due. Most do not exist.
// What fails is not tried again: those that are slow come later anyway.
func (c *Cleaner) sweepAnswers(now time.Time) (err error) {
	list := c.answers.due(now)
	t, err := openTable(c.ns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	for _, f := range list {
		err = errors.Join(err, t.delete(f))
	}
	return err
}
