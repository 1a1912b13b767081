// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import "time"

// A search of all affinity maps takes up to restShare of the time, and the next one waits up to
// longestRest. Otherwise a program that keeps changing the table would make the agent list all
// clients each second.
const (
	restShare   = 50
	longestRest = 10 * time.Second
)

// pace spaces searches out. The zero value is ready to search.
type pace struct {
	next time.Time
}

// rest returns how long the next search has to wait.
func (p *pace) rest(now time.Time) time.Duration { return max(p.next.Sub(now), 0) }

// searched notes a search.
func (p *pace) searched(start, end time.Time) {
	p.next = end.Add(min(restShare*end.Sub(start), longestRest))
}
