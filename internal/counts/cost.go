// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package counts

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Kind is what is counted.
type Kind int

// The kinds, in the order of the file of a baseline.
const (
	Operations  Kind = iota // on objects of the kernel
	Messages                // of netlink, sent
	Calls                   // system calls on netlink sockets
	Sent                    // bytes of netlink
	Received                // bytes of netlink
	Allocations             // of the heap
	Heap                    // bytes of these
	kinds
)

var names = [kinds]string{"operations", "messages", "system calls", "bytes sent", "bytes received", "allocations", "bytes allocated"}

// String returns the name of a kind.
func (k Kind) String() string { return names[k] }

// Cost is what one action costs, by Kind.
type Cost [kinds]int

// Least returns the smaller count of each kind. A map that grows, or a collection of
// garbage, adds allocations to some repetitions of an action.
func (c Cost) Least(other Cost) Cost {
	for k := range c {
		c[k] = min(c[k], other[k])
	}
	return c
}

// Do runs an action and returns what it allocated, on all threads.
func Do(action func()) Cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	action()
	runtime.ReadMemStats(&after)
	return Cost{Allocations: int(after.Mallocs - before.Mallocs), Heap: int(after.TotalAlloc - before.TotalAlloc)}
}

// Doubled returns an error for each count that grows too much when the size doubles: to
// more than 2.2 times. Bytes of the heap may triple, because slices and maps grow in steps;
// a quadratic step would make four times as many.
func Doubled(action string, once, twice Cost) error {
	var out []string
	for k := range kinds {
		limit := once[k] * 22 / 10
		if k == Heap {
			limit = once[k] * 3
		}
		if twice[k] > limit+small(k) && k.counted() {
			out = append(out, fmt.Sprintf("%s of %q grew from %d to %d", k, action, once[k], twice[k]))
		}
	}
	if out == nil {
		return nil
	}
	return fmt.Errorf("twice the size costs more than twice as much, so a step is not linear: %s", strings.Join(out, "; "))
}

// Same returns an error for each count that depends on the size of what surrounds an action:
// beside much it is more than a fifth larger than beside little, plus 2, or 512 bytes.
func Same(action string, little, much Cost) error {
	var out []string
	for k := range kinds {
		limit := little[k] + little[k]/5 + 2
		if k == Heap {
			limit += 510
		}
		if much[k] > limit && k.counted() {
			out = append(out, fmt.Sprintf("%s of %q grew from %d to %d", k, action, little[k], much[k]))
		}
	}
	if out == nil {
		return nil
	}
	return fmt.Errorf("an action costs more because there is more beside it: %s", strings.Join(out, "; "))
}

// Same compares each action in a small world with that in a large one, see the function.
func (c Costs) Same(much Costs) error {
	var errs []error
	for _, action := range c.actions() {
		errs = append(errs, Same(action, c[action], much[action]))
	}
	return errors.Join(errs...)
}

// small is what a count may grow by whatever the size. A repetition that the runtime
// disturbs allocates a little more.
func small(k Kind) int {
	switch k {
	case Allocations:
		return 20
	case Heap:
		return 4096
	}
	return 2
}

// Costs are actions with what they cost.
type Costs map[string]Cost

// actions returns the names in order.
func (c Costs) actions() (out []string) {
	for name := range c {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
