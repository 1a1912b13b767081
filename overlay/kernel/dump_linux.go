// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// repeat reads something again while that changes, see nl.Repeat. A dump during which
// something changed, also something that has nothing to do with it, may lack objects or have
// some twice (NLM_F_DUMP_INTR). While other programs change routes all the time, all dumps of
// many routes are like that. Then what one of unionTries readings lists counts. It can have an
// object that was deleted meanwhile, which the notification about that makes good.
func (c *Conn) repeat(what string, f func() error) error {
	err := nl.Repeat(what, f)
	if !errors.Is(err, nl.ErrInterrupted) {
		return err
	}
	c.patient = true
	defer func() { c.patient = false }()
	if err = f(); err != nil {
		err = fmt.Errorf("read %s: %w", what, err)
	}
	return err
}

// unionTries is how many readings are put together.
const unionTries = 3

// dump calls each for all objects that a message with a fixed part and the
// attributes of filter asks for. Call it by way of repeat.
func (c *Conn) dump(kind uint16, body []byte, filter func(*nl.Messages), each func(nl.Reply)) error {
	if c.patient {
		return c.union(kind, body, filter, each)
	}
	return c.dumpOnce(kind, body, filter, each)
}

// union calls each once for every object that one of unionTries readings lists.
func (c *Conn) union(kind uint16, body []byte, filter func(*nl.Messages), each func(nl.Reply)) error {
	var found replies
	seen := map[string]struct{}{}
	var err error
	for range unionTries {
		err = c.dumpOnce(kind, body, filter, func(r nl.Reply) {
			if _, again := seen[string(r.Body)]; !again {
				seen[string(r.Body)] = struct{}{}
				found.add(r)
			}
		})
		if err != nil && !errors.Is(err, nl.ErrInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
	if errors.Is(err, unix.ENOBUFS) {
		return err
	}
	found.each(each)
	return nil
}

func (c *Conn) dumpOnce(kind uint16, body []byte, filter func(*nl.Messages), each func(nl.Reply)) error {
	c.msgs.Reset()
	c.msgs.Begin(kind, 0, body...)
	if filter != nil {
		filter(&c.msgs)
	}
	return c.sock.Dump(&c.msgs, each)
}

// replies keeps messages of a dump.
type replies struct {
	all  []nl.Reply // without bodies
	ends []int      // of the bodies
	room []byte
}

func (p *replies) add(r nl.Reply) {
	p.room = append(p.room, r.Body...)
	r.Body = nil
	p.all, p.ends = append(p.all, r), append(p.ends, len(p.room))
}

func (p *replies) each(f func(nl.Reply)) {
	at := 0
	for i, r := range p.all {
		r.Body = p.room[at:p.ends[i]]
		at = p.ends[i]
		f(r)
	}
}
