// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"maps"
	"slices"
)

// mostComplaints bounds the errors that complaints remembers.
const mostComplaints = 200

// complaints remembers which errors of a thing that is retried were logged.
type complaints map[string]struct{}

// fresh returns the parts of a joined error that were not logged since they last were
// gone. It forgets what is not in a short list; a long one may be cut.
func (c complaints) fresh(err error) []error {
	parts := flatten(err, nil)
	if len(parts) <= shortList {
		maps.DeleteFunc(c, func(text string, _ struct{}) bool {
			return !slices.ContainsFunc(parts, func(e error) bool { return e.Error() == text })
		})
	}
	var out []error
	for _, e := range parts {
		if _, known := c[e.Error()]; known || len(c) >= mostComplaints {
			continue
		}
		c[e.Error()] = struct{}{}
		out = append(out, e)
	}
	return out
}

// shortList is the number of errors that the overlay's keeper names one by one.
const shortList = 10

// flatten appends the errors that errors.Join put into err to out.
func flatten(err error, out []error) []error {
	if err == nil {
		return out
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return append(out, err)
	}
	for _, e := range joined.Unwrap() {
		out = flatten(e, out)
	}
	return out
}
