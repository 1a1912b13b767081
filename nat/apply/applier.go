// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"syscall"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// Table is the table in the kernel; see kernel.Table for the contract.
type Table interface {
	Load(ctx context.Context) (*ruleset.Snapshot, error)
	Commit(ctx context.Context, b ruleset.Batch) error
}

// Applier makes the kernel equal to a plan. It must not be used by two goroutines at
// a time.
type Applier struct {
	table Table
	state *plan.State

	// distrusted is what the state may be wrong about.
	distrusted nat.Scope
	loaded     bool // at least once
	gone       bool // the last load found no table, and an earlier one was there
	// transitions counts down the tries to replace the table of another version in one
	// transaction. It is set by the first load.
	transitions int
	// guessed is set while the outcome of a batch is not known, or the state takes a
	// transition for carried out that failed. What the next load finds is then no change
	// by another program.
	guessed bool
	// drift is what loads found changed since the last commit, which repairs it.
	drift plan.Drift
	// reloads counts the loads since the last commit, and rereads the readings of elements
	// that it took for the kernel to refuse fewer batches.
	reloads, rereads int
	// unsettled counts the loads since nothing was left to do, and since the commits since the
	// last load.
	unsettled, since int
	// narrow is the cost of a batch while what the kernel refuses without naming it is
	// searched, 1 for a batch about one frontend or chain, and 0 otherwise. A refusal
	// halves it and a commit doubles it, so that each search among n frontends takes a
	// multiple of log n batches.
	narrow  int
	counter counter
	// limit is the cost of a batch. A socket may turn out to be too small for it.
	limit int
}

// New returns an Applier that loads the table before its first commit.
func New(table Table, state *plan.State) *Applier {
	return &Applier{table: table, state: state, distrusted: nat.Everything, limit: bulkLimit, counter: counter{}}
}

// bulkLimit is the cost of a batch where there is much to do. The kernel takes some 0.8 ms
// for each transaction beside its operations, and a change that comes meanwhile waits for
// one.
const bulkLimit = 4 * ruleset.DefaultLimit

// transitionTries bounds how often the table of another version is replaced in one
// transaction. Each refusal costs a load of the table.
const transitionTries = 3

// Distrust makes the next round load the table first, because another program may
// have changed it.
func (a *Applier) Distrust() { a.distrusted |= nat.Everything }

// DistrustPart is Distrust for what may have changed, which costs less unless that is
// everything.
func (a *Applier) DistrustPart(changed nat.Scope) { a.distrusted |= changed }

// settled forgets what led to a commit.
func (a *Applier) settled() { a.drift, a.reloads, a.rereads = nil, 0, 0 }

// Result is what one round did.
type Result struct {
	Commits []Commit    // in order
	Changed []inet.Addr // frontends that were in them
	Unstick []nat.Pair  // see plan.Step.Unstick
	// Refused are frontends that the kernel refused. They wait until they change or
	// until plan.State.Retry.
	Refused []Refused
	// Chains are chains that the kernel refused, with their names. A frontend that
	// needs one is among Refused, unless it is in the kernel with an older version of
	// the chain.
	Chains []RefusedChain
	// Objects are sets, and elements that frontends share, that the kernel refused. A
	// frontend that needs such a set is among Refused.
	Objects []RefusedObject
	Loads   int
	Reads   int // of elements that had been named
	// Missing says that a load found no table, so that the kernel may have tracked no
	// connections.
	Missing bool
	// Replaced is the number of operations that replaced the table of another version.
	Replaced int
	// Stepwise is why that took several transactions, nil if it did not.
	Stepwise error
	// Repaired is what another program had changed and a commit of this round
	// repaired.
	Repaired plan.Drift
	// More says that there is more to do: call Round again, after looking for newer
	// changes.
	More bool
}

// Refused is a frontend that the kernel refused.
type Refused struct {
	Frontend inet.Addr
	Err      error
}

// RefusedObject is a set or an element that the kernel refused, in words.
type RefusedObject struct {
	Object string
	Err    error
}

// RefusedChain is a chain that the kernel refused.
type RefusedChain struct {
	Chain string
	Err   error
}

// isNamed reports whether the kernel named the operation that it refused first.
func isNamed(err error) bool {
	var refused *ruleset.RefusedError
	return errors.As(err, &refused) && refused.Refusals[0].Index != ruleset.Whole
}

func isDrift(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EBUSY)
}

// isGeneral reports errors that say nothing about the batch: another one would meet
// them as well.
func isGeneral(err error) bool {
	for _, general := range []error{nat.ErrPermission, syscall.ENOMEM, syscall.EMFILE, syscall.EBADF, syscall.EINTR} {
		if errors.Is(err, general) {
			return true
		}
	}
	return false
}

// reason returns the errno of an error, if it has one: the rest differs from try to
// try.
func reason(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}
