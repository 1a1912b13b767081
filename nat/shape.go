// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"fairlead/internal/inet"
)

// draws is how often a pick chain draws from one class. A class is at least
// half full, or the draws from the half-sized class that follow are; so the
// chance that all draws of both fail is below 2^-draws.
const draws = 16

// maxClass bounds the size class: 2^16 backends of one frontend.
const maxClass = 16

// noLocals is the class of an empty set of local backends.
const noLocals = -1

// classOf returns the smallest class that n backends fit in: 2^class >= n.
func classOf(n int) int8 {
	if n <= 1 {
		return 0
	}
	return int8(bits.Len(uint(n - 1)))
}

// keepClass is the hysteresis: a frontend keeps the class it has until its
// backends outgrow it or fall below a quarter of it, so that a rolling update
// does not swing between two verdicts.
func keepClass(have int8, n int) int8 {
	if have >= 0 && n <= 1<<have && 4*n >= 1<<have {
		return have
	}
	return classOf(n)
}

// shape is what the chain of a frontend depends on. Frontends of one shape
// share one chain; a cluster of any size has some dozens of shapes.
type shape struct {
	policy  TrafficPolicy
	fam     inet.Family
	node    bool // NodePort
	guarded bool // restricted to Sources
	sticky  bool
	class   int8
	locals  int8 // class of the local backends under policy Local, or noLocals
}

var policyWords = [...]string{Reject: "reject", Drop: "drop", Internal: "cluster", External: "external", Local: "local"}

// String returns the name of the shape's chain, for example "cluster4-8",
// "node-local6-4-1" or "guarded-sticky-external4-2": the numbers are the sizes
// of the classes, 0 for no local backend.
func (s shape) String() string {
	var b strings.Builder
	for _, w := range []struct {
		on   bool
		word string
	}{{s.node, "node-"}, {s.guarded, "guarded-"}, {s.sticky, "sticky-"}} {
		if w.on {
			b.WriteString(w.word)
		}
	}
	b.WriteString(policyWords[s.policy])
	b.WriteByte(s.fam.Digit())
	if !s.policy.picks() {
		return b.String()
	}
	fmt.Fprintf(&b, "-%d", 1<<s.class)
	if s.policy == Local {
		fmt.Fprintf(&b, "-%d", sizeOf(s.locals))
	}
	return b.String()
}

func sizeOf(class int8) int {
	if class == noLocals {
		return 0
	}
	return 1 << class
}

// picks reports whether the policy sends connections to backends at all.
func (p TrafficPolicy) picks() bool { return p >= Internal }

// parseShape reads a chain name. It reports false for every chain that is not
// a frontend's.
func parseShape(name string) (shape, bool) {
	var s shape
	rest := name
	rest, s.node = strings.CutPrefix(rest, "node-")
	rest, s.guarded = strings.CutPrefix(rest, "guarded-")
	rest, s.sticky = strings.CutPrefix(rest, "sticky-")
	for p, word := range policyWords {
		if tail, ok := strings.CutPrefix(rest, word); ok && tail != "" {
			s.policy, s.fam = TrafficPolicy(p), inet.FamilyOfDigit(tail[0])
			rest = tail[1:]
			break
		}
	}
	sizes := strings.Split(rest, "-")[1:]
	class := [2]int8{0, noLocals}
	for i, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil || i > 1 || n < 0 || n > 1<<maxClass {
			return shape{}, false
		}
		if n > 0 {
			class[i] = classOf(n)
		}
	}
	if s.policy.picks() {
		s.class = class[0]
	}
	if s.policy == Local {
		s.locals = class[1]
	}
	return s, s.String() == name // rejects everything that is not our spelling
}

// verdict returns what the frontend's element in the verdict map says.
func (s shape) verdict() string {
	switch {
	case s.guarded || s.policy.picks():
		return s.String()
	case s.policy == Reject:
		return chainReject
	}
	return verdictDrop
}

// shapeOfVerdict is the inverse of verdict.
func shapeOfVerdict(verdict string, fam inet.Family, node bool) (shape, bool) {
	switch verdict {
	case chainReject:
		return shape{policy: Reject, fam: fam, node: node}, true
	case verdictDrop:
		return shape{policy: Drop, fam: fam, node: node}, true
	}
	s, ok := parseShape(verdict)
	return s, ok && s.fam == fam && s.node == node
}

// pick names a chain that sends a connection to one of the backends in set.
type pick struct {
	set    kind
	fam    inet.Family
	sticky bool
	class  int8
}

// String returns, for example, "pick4-8", "node-pick4-8", "pick-locals4-2",
// "sticky-pick4-8".
func (p pick) String() string {
	name := "pick"
	switch p.set {
	case kLocals:
		name = "pick-locals"
	case kNodeBackends:
		name = "node-pick"
	case kNodeLocals:
		name = "node-pick-locals"
	}
	if p.sticky {
		name = "sticky-" + name
	}
	return fmt.Sprintf("%s%c-%d", name, p.fam.Digit(), 1<<p.class)
}

// picksOf returns the pick chains that the shape's chain goes to, in the order
// backends, locals; the second is the zero pick when there is none.
func (s shape) picksOf() (all, locals pick) {
	all = pick{set: kBackends, fam: s.fam, sticky: s.sticky, class: s.class}
	locals = pick{set: kLocals, fam: s.fam, sticky: s.sticky, class: max(s.locals, 0)}
	if s.node {
		all.set, locals.set = kNodeBackends, kNodeLocals
	}
	return all, locals
}
