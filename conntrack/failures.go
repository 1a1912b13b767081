// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"

	"fairlead/internal/nl"
)

// mostErrors bounds the errors of one search that its line names. There can be one for each flow
// of a full table.
const mostErrors = 8

// failures are the errors of one search. The zero value has none.
type failures struct {
	list []error
	more int  // errors that list has no room for
	lost bool // the kernel did not answer
}

// add adds an error; nil is none.
func (f *failures) add(err error) {
	switch {
	case err == nil:
	case len(f.list) < mostErrors:
		f.list = append(f.list, err)
	default:
		f.more++
	}
	f.lost = f.lost || errors.Is(err, nl.ErrLost)
}

// end reports whether to go no further: because ctx is done, which counts as an error, or because
// the kernel did not answer. Each request after that may wait in vain as long.
func (f *failures) end(ctx context.Context) bool {
	if err := ctx.Err(); err != nil && !f.lost {
		f.lost = true
		f.list = append(f.list, err)
	}
	return f.lost
}

// err returns the first errors and the number of the others, nil if there is none.
func (f *failures) err() error {
	if f.more > 0 {
		return errors.Join(append(f.list, fmt.Errorf("%d more errors", f.more))...)
	}
	return errors.Join(f.list...)
}
