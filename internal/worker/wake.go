// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package worker

// Wake wakes the goroutine that receives from it. Any number of calls of Set before it
// receives count as one. Its methods are safe for concurrent use.
type Wake chan struct{}

// NewWake returns a Wake that is not set.
func NewWake() Wake { return make(Wake, 1) }

// Set makes the channel ready. It never blocks.
func (w Wake) Set() {
	select {
	case w <- struct{}{}:
	default:
	}
}
