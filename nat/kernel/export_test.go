// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"

	"github.com/google/nftables"

	"fairlead/nat/ruleset"
)

// Names for the tests outside of the package, which use package plan as well.
var (
	Decode        = decode
	EncodeElement = encodeElement
	IsRawBatch    = isRawBatch
	ReadIntervals = readIntervals
)

// Elements lists a set as the kernel has it.
func (t *Table) Elements(s ruleset.Set) ([]nftables.SetElement, error) {
	return t.conn.GetSetElements(t.set(s))
}

// DeleteElements deletes elements of affinity maps.
func (t *Table) DeleteElements(ctx context.Context, es []ruleset.Element) (int, error) {
	return t.deleteElements(ctx, es)
}
