// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// longSilence is more than servers let pass between two bookmarks of a watch, which is about
// a minute.
const longSilence = 150 * time.Second

// stuck returns a sentence for each kind of object whose watch is silent for too long and
// behind that of another agent. A revision that is only lower says little: servers send
// bookmarks to each watch at another time.
func (s *State) stuck(list []Answer) (out []string) {
	if s.APIServer == nil {
		return nil
	}
	for _, w := range s.APIServer.Watches {
		silent := time.Duration(w.SilentSeconds * float64(time.Second))
		if silent < longSilence {
			continue
		}
		newest, at := "", ""
		for i := range list {
			for _, other := range list[i].watches() {
				if other.Kind == w.Kind && newer(other.Revision, cmp.Or(newest, w.Revision)) {
					newest, at = other.Revision, list[i].Node
				}
			}
		}
		if newest != "" {
			out = append(out, fmt.Sprintf("%s: nothing was heard for %s, since revision %s; %s has %s", w.Kind, silent.Truncate(time.Second), w.Revision, at, newest))
		}
	}
	return out
}

func (a *Answer) watches() []Watch {
	if a.State == nil || a.State.APIServer == nil {
		return nil
	}
	return a.State.APIServer.Watches
}

// newer compares two revisions of one kind, which are decimal numbers of any length
// (KEP-5504). Others cannot be compared.
func newer(a, b string) bool {
	number := func(s string) bool { return s != "" && s[0] != '0' && strings.Trim(s, "0123456789") == "" }
	return number(a) && number(b) && cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) > 0
}
