// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// culprit is something to which a refusal of the kernel belongs: a frontend, or the
// operation that makes a chain, a set, or an element that frontends share.
type culprit struct {
	frontend inet.Addr
	op       *ruleset.Op // nil for a frontend
	idle     bool        // the operation deletes what has no user
	err      error
}

// culprits returns to what the kernel's refusals belong. A refused chain or set comes
// first: what needs it is refused as well. If the kernel names no operation, the only one
// that the step is about is to blame. A single step is one of NextSingle.
func culprits(step *plan.Step, err error, single bool) []culprit {
	var refused *ruleset.RefusedError
	switch {
	case step.IsIdle():
		return []culprit{{op: idleOp(step, err), idle: true, err: err}}
	case !isNamed(err):
		return onlyCulprit(step, err, single)
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

func onlyCulprit(step *plan.Step, err error, single bool) []culprit {
	keys := step.Busy()
	switch {
	case len(keys) == 1 && !single && hasShared(step):
		return nil // they may be those of other frontends, and to blame
	case len(keys) == 1 && !slices.ContainsFunc(step.Batch, declares): // or the next try is about a chain alone
		return []culprit{{frontend: keys[0], err: err}}
	case len(keys) == 0 && (len(step.Batch) == 1 || len(step.Batch) > 1 && isOneRange(step.Batch)):
		return []culprit{{op: &step.Batch[0], err: err}}
	}
	return nil
}

// hasShared reports whether a step writes elements that backends share.
func hasShared(step *plan.Step) bool {
	return slices.ContainsFunc(step.Batch, func(o ruleset.Op) bool {
		k := o.Element.Set.Kind
		return o.Verb == ruleset.AddElement && (k == ruleset.Hairpin || k == ruleset.Outside)
	})
}

// declares reports whether an operation makes a chain or a set.
func declares(op ruleset.Op) bool { return op.Verb == ruleset.AddChain || op.Verb == ruleset.AddSet }

// idleOp returns the operation that the kernel refused, or one that stands for all of the step.
func idleOp(step *plan.Step, err error) *ruleset.Op {
	var refused *ruleset.RefusedError
	if isNamed(err) && errors.As(err, &refused) {
		return &step.Batch[refused.Refusals[0].Index]
	}
	return &step.Batch[len(step.Batch)-1]
}

// isOneRange reports whether a batch changes the ranges of one set, and nothing else.
func isOneRange(b ruleset.Batch) bool {
	for i := range b {
		if !isRange(&b[i]) || rangesOf(&b[i]) != rangesOf(&b[0]) {
			return false
		}
	}
	return true
}

// setAside leaves culprits out of later steps. It reports false if one of them is something
// without which there is no table.
func (a *Applier) setAside(all []culprit, r *Result) bool {
	for i := range all {
		if c := &all[i]; c.op != nil && !c.idle && !canWait(c.op) {
			return false
		}
	}
	for i := range all {
		switch c := &all[i]; {
		case c.op == nil:
			a.refuse(r, c.frontend, c.err)
		case c.idle:
			a.state.RefuseIdle()
			r.Objects = append(r.Objects, RefusedObject{Object: c.op.String(), Err: reason(c.err)})
		case c.op.Verb == ruleset.AddChain:
			a.refuseChain(r, c.op.Chain, c.err)
		case c.op.Verb == ruleset.AddSet:
			if !a.state.RefuseSet(c.op.Set) {
				return false // it exists with another declaration
			}
			r.Objects = append(r.Objects, RefusedObject{Object: "set " + c.op.Set.String(), Err: reason(c.err)})
		case isRange(c.op):
			if a.state.RefuseSet(rangesOf(c.op)) {
				r.Objects = append(r.Objects, RefusedObject{Object: "ranges of " + rangesOf(c.op).String(), Err: reason(c.err)})
			}
		case c.op.Stray != nil:
			a.state.RefuseJunk()
			r.Objects = append(r.Objects, RefusedObject{Object: c.op.Stray.Set.String() + " " + c.op.Stray.String(), Err: reason(c.err)})
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
		return op.Stray != nil || op.Element.IsMember() || isRange(op)
	case ruleset.FlushSet:
		return true
	}
	return false
}

// isRange reports whether an operation changes a set that settings fill.
func isRange(op *ruleset.Op) bool {
	switch op.Verb {
	case ruleset.FlushSet:
		return true
	case ruleset.AddElement, ruleset.DeleteElement:
		return op.Stray == nil && op.Element.Set.Spec().IsInterval()
	}
	return false
}

func rangesOf(op *ruleset.Op) ruleset.Set {
	if op.Verb == ruleset.FlushSet {
		return op.Set
	}
	return op.Element.Set
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
