// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"

	"fairlead/internal/inet"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// culprit is something to which a refusal of the kernel belongs: a frontend, or the
// operation that makes a chain, a set, or an element that frontends share.
type culprit struct {
	frontend inet.Addr
	op       *ruleset.Op // nil for a frontend
	err      error
}

// culprits returns to what the kernel's refusals belong. A refused chain or set comes
// first: what needs it is refused as well. If the kernel names no operation, the only one
// that the step is about is to blame.
func culprits(step *plan.Step, err error) []culprit {
	var refused *ruleset.RefusedError
	if !isNamed(err) {
		return onlyCulprit(step, err)
	}
	errors.As(err, &refused)
	first := refused.Refusals[0]
	if op := &step.Batch[first.Index]; op.Verb == ruleset.AddChain || op.Verb == ruleset.AddSet {
		return []culprit{{op: op, err: first.Err}}
	}
	var out []culprit
	seen := map[inet.Addr]struct{}{}
	for i, refusal := range refused.Refusals {
		if refusal.Index == ruleset.Whole || i > 0 && isDrift(refusal.Err) {
			continue // may only follow from an earlier one
		}
		key, ok := step.Frontend(refusal.Index)
		if !ok {
			out = append(out, culprit{op: &step.Batch[refusal.Index], err: refusal.Err})
		} else if _, again := seen[key]; !again {
			seen[key] = struct{}{}
			out = append(out, culprit{frontend: key, err: refusal.Err})
		}
	}
	return out
}

func onlyCulprit(step *plan.Step, err error) []culprit {
	keys := step.Busy()
	switch {
	case len(keys) == 1:
		return []culprit{{frontend: keys[0], err: err}}
	case len(keys) == 0 && len(step.Batch) == 1:
		return []culprit{{op: &step.Batch[0], err: err}}
	}
	return nil
}

// setAside leaves culprits out of later steps. It reports false if one of them is something
// without which there is no table.
func (a *Applier) setAside(all []culprit, r *Result) bool {
	for i := range all {
		if c := &all[i]; c.op != nil && !canWait(c.op) {
			return false
		}
	}
	for i := range all {
		switch c := &all[i]; {
		case c.op == nil:
			a.refuse(r, c.frontend, c.err)
		case c.op.Verb == ruleset.AddChain:
			a.refuseChain(r, c.op.Chain, c.err)
		case c.op.Verb == ruleset.AddSet:
			if !a.state.RefuseSet(c.op.Set) {
				return false // it exists with another declaration
			}
			r.Objects = append(r.Objects, RefusedObject{Object: "set " + c.op.Set.String(), Err: reason(c.err)})
		default:
			a.state.RefuseMember(&c.op.Element)
			r.Objects = append(r.Objects, RefusedObject{Object: c.op.Element.Set.String() + " " + c.op.Element.String(), Err: reason(c.err)})
		}
	}
	return len(all) > 0
}

// canWait reports whether the table is of use without what an operation changes.
func canWait(op *ruleset.Op) bool {
	switch op.Verb {
	case ruleset.AddChain:
		return true
	case ruleset.AddSet:
		return op.Set.OnDemand()
	case ruleset.AddElement, ruleset.DeleteElement:
		return op.Stray == nil && op.Element.IsMember()
	}
	return false
}

func (a *Applier) refuse(r *Result, key inet.Addr, err error) {
	a.state.Refuse(key)
	r.Refused = append(r.Refused, Refused{Frontend: key, Err: reason(err)})
}

func (a *Applier) refuseChain(r *Result, c *ruleset.Chain, err error) {
	a.state.RefuseChain(c)
	r.Chains = append(r.Chains, RefusedChain{Chain: c.Name, Err: reason(err)})
}

// errNeeds says why a frontend is set aside.
func errNeeds(b *plan.Blocked) error {
	return fmt.Errorf("it needs %s, which the kernel refused", b.Needs)
}
