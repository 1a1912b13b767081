// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// ShapeOf returns the shape of f, given the one that the kernel has for it.
func ShapeOf(f *nat.Frontend, key inet.Addr, have Shape) Shape {
	s := Shape{
		policy: f.Policy, Family: inet.FamilyOf(key.IP), NodePort: key.IsNodePort(),
		guarded: f.Restricted, sticky: f.Affinity > 0, share: f.Share,
	}
	if !f.Policy.Picks() {
		if f.Policy == nat.Reject && have.guarded == s.guarded && have.KeepsEmpty() {
			return have
		}
		return s
	}
	class, locals := int8(noLocals), int8(noLocals)
	if have.policy.Picks() {
		class = have.class
		if have.policy == nat.Local {
			locals = have.locals
		}
	}
	s.class = keepClass(class, len(f.Backends))
	if f.Policy == nat.Local {
		s.locals = noLocals
		if n := len(f.LocalBackends); n > 0 {
			s.locals = keepClass(locals, n)
		}
	}
	return s
}

// draws is how often a pick chain draws from one class. A class is at least
// half full, or the draws from the half-sized class that follow are; so the
// chance that all draws of both fail is below 2^-draws.
const draws = 16

// MaxSlots bounds the slots of a frontend: its largest size class.
const MaxSlots = 1 << nat.MaxClass

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

// KeepsEmpty reports whether a frontend of the shape keeps it while it has no backend, because its
// chain then refuses each client that it would have served: slot 0 is empty, and the chain that
// draws it rejects. So the only backend of a frontend goes and comes without a change of its
// verdict, after which the kernel would walk over all verdicts.
//
// The classes are those that a single backend keeps. Policy Local without a backend on the node
// drops clients from outside, and the chain of a sticky frontend sends clients that it knows to
// the backend that is gone.
func (s Shape) KeepsEmpty() bool {
	keeps := func(class int8) bool { return class != noLocals && keepClass(class, 1) == class }
	return s.policy.Picks() && !s.sticky && keeps(s.class) && (s.policy != nat.Local || keeps(s.locals))
}

// Shape holds every property that the chain of a frontend depends on. Frontends of
// one shape share one chain; a cluster of any size has some dozens of shapes.
type Shape struct {
	policy   nat.TrafficPolicy
	Family   inet.Family
	NodePort bool // NodePort
	guarded  bool // restricted to Sources
	sticky   bool
	share    uint8 // see nat.Frontend.Share
	class    int8
	locals   int8 // class of the local backends under policy Local, or noLocals
}

var policyWords = [...]string{nat.Reject: "reject", nat.Drop: "drop", nat.Internal: "cluster", nat.External: "external", nat.Local: "local"}

// String returns the name of the shape's chain, for example "cluster4-8",
// "node-local6-4-1" or "guarded-sticky-external4-2": the numbers are the sizes
// of the classes, 0 for no local backend.
func (s Shape) String() string {
	var b strings.Builder
	for _, w := range []struct {
		on   bool
		word string
	}{{s.NodePort, "node-"}, {s.guarded, "guarded-"}, {s.sticky, "sticky-"}} {
		if w.on {
			b.WriteString(w.word)
		}
	}
	if s.share > 0 {
		fmt.Fprintf(&b, "%d-", s.share)
	}
	b.WriteString(policyWords[s.policy])
	b.WriteByte(s.Family.Digit())
	if !s.policy.Picks() {
		return b.String()
	}
	fmt.Fprintf(&b, "-%d", 1<<s.class)
	if s.policy == nat.Local {
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

// parseShape reads a chain name. It reports false for every chain that is not
// a frontend's.
func parseShape(name string) (Shape, bool) {
	var s Shape
	rest := name
	rest, s.NodePort = strings.CutPrefix(rest, "node-")
	rest, s.guarded = strings.CutPrefix(rest, "guarded-")
	rest, s.sticky = strings.CutPrefix(rest, "sticky-")
	if text, tail, ok := strings.Cut(rest, "-"); ok && s.sticky {
		if n, err := strconv.ParseUint(text, 10, 8); err == nil && n <= MaxShares {
			s.share, rest = uint8(n), tail
		}
	}
	for p, word := range policyWords {
		if tail, ok := strings.CutPrefix(rest, word); ok && tail != "" {
			s.policy, s.Family = nat.TrafficPolicy(p), inet.FamilyOfDigit(tail[0])
			rest = tail[1:]
			break
		}
	}
	sizes := strings.Split(rest, "-")[1:]
	class := [2]int8{0, noLocals}
	for i, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil || i > 1 || n < 0 || n > 1<<nat.MaxClass {
			return Shape{}, false
		}
		if n > 0 {
			class[i] = classOf(n)
		}
	}
	if s.policy.Picks() {
		s.class = class[0]
	}
	if s.policy == nat.Local {
		s.locals = class[1]
	}
	return s, s.String() == name // rejects everything that is not our spelling
}

// Verdict returns the verdict of the frontend's element in the verdict map.
func (s Shape) Verdict() string {
	switch {
	case s.guarded || s.policy.Picks():
		return s.String()
	case s.policy == nat.Reject:
		return chainReject
	}
	return VerdictDrop
}

// ShapeOfVerdict is the inverse of verdict.
func ShapeOfVerdict(verdict string, fam inet.Family, node bool) (Shape, bool) {
	switch verdict {
	case chainReject:
		return Shape{policy: nat.Reject, Family: fam, NodePort: node}, true
	case VerdictDrop:
		return Shape{policy: nat.Drop, Family: fam, NodePort: node}, true
	}
	s, ok := parseShape(verdict)
	return s, ok && s.Family == fam && s.NodePort == node
}

// Serves reports whether a chain of this name belongs to the frontends of a shape that have
// backends.
func Serves(chain string) bool {
	s, ok := parseShape(chain)
	return ok && s.policy.Picks()
}

// SlotsIn returns how many slots a frontend of the shape may have in a map of backends.
func (s Shape) SlotsIn(k Kind) int {
	all, locals := s.picksOf()
	switch {
	case s.policy.Picks() && k == all.set:
		return 1 << s.class
	case s.policy == nat.Local && k == locals.set:
		return sizeOf(s.locals)
	}
	return 0
}

// Pick names a chain that sends a connection to one of the backends in set.
type Pick struct {
	set    Kind
	fam    inet.Family
	sticky bool
	share  uint8 // see nat.Frontend.Share
	class  int8
}

// String returns, for example, "pick4-8", "node-pick4-8", "pick-locals4-2",
// "sticky-pick4-8".
func (p Pick) String() string {
	name := "pick"
	switch p.set {
	case Locals:
		name = "pick-locals"
	case NodeBackends:
		name = "node-pick"
	case NodeLocals:
		name = "node-pick-locals"
	}
	if p.share > 0 {
		name = fmt.Sprintf("%d-%s", p.share, name)
	}
	if p.sticky {
		name = "sticky-" + name
	}
	return fmt.Sprintf("%s%c-%d", name, p.fam.Digit(), 1<<p.class)
}

// isPick reports whether Pick.String returns name for some Pick, or drawName for one that is
// not sticky.
func isPick(name string) bool {
	if strings.Contains(name, "draw") {
		if strings.HasPrefix(name, "sticky-") || strings.Contains(name, "pick") {
			return false
		}
		name = strings.Replace(name, "draw", "pick", 1)
	}
	p := Pick{}
	rest, sticky := strings.CutPrefix(name, "sticky-")
	if p.sticky = sticky; sticky {
		if number, tail, ok := strings.Cut(rest, "-"); ok {
			if n, err := strconv.ParseUint(number, 10, 8); err == nil {
				p.share, rest = uint8(n), tail
			}
		}
	}
	n, err := strconv.Atoi(rest[strings.LastIndexByte(rest, '-')+1:])
	if err != nil || n < 1 || n > MaxSlots {
		return false
	}
	p.class = classOf(n)
	for _, p.set = range []Kind{Backends, Locals, NodeBackends, NodeLocals} {
		for _, p.fam = range inet.Families() {
			if p.String() == name {
				return true
			}
		}
	}
	return false
}

// picksOf returns the pick chains that the shape's chain goes to, in the order
// backends, locals; the second is the zero pick when there is none.
func (s Shape) picksOf() (all, locals Pick) {
	all = Pick{set: Backends, fam: s.Family, sticky: s.sticky, share: s.share, class: s.class}
	locals = Pick{set: Locals, fam: s.Family, sticky: s.sticky, share: s.share, class: max(s.locals, 0)}
	if s.NodePort {
		all.set, locals.set = NodeBackends, NodeLocals
	}
	return all, locals
}

// PolicyWord returns the policy as it stands in names of chains: "cluster", "external",
// "local", "reject" or "drop".
func (s Shape) PolicyWord() string { return policyWords[s.policy] }

// IsSticky reports whether clients stay with their backend.
func (s Shape) IsSticky() bool { return s.sticky }

// IsGuarded reports whether only clients in source ranges may connect.
func (s Shape) IsGuarded() bool { return s.guarded }
