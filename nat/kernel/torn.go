// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"hash/maphash"
	"slices"

	"fairlead/internal/nl"
)

// keys remembers which elements a dump of a hash set listed.
//
// The kernel continues a dump by the number of elements that it has listed. If it resizes
// the hash table between two parts of the dump, the order is another one: some elements
// are listed twice and as many are not listed (nft_rhash_walk, seen with 6.18). It does not
// mark the dump as interrupted. A resize follows soon after a set grew or shrank.
type keys struct {
	seed   maphash.Seed
	hashes []uint64
}

func newKeys() *keys { return &keys{seed: maphash.MakeSeed()} }

func (k *keys) add(key []byte) { k.hashes = append(k.hashes, maphash.Bytes(k.seed, key)) }

// check returns nl.ErrInterrupted if a key was added twice. Two keys with the same hash,
// which is next to impossible, cost one more dump with another seed.
func (k *keys) check() error {
	slices.Sort(k.hashes)
	if n := len(k.hashes) - len(slices.Compact(k.hashes)); n > 0 {
		return fmt.Errorf("%d elements were listed twice: %w", n, nl.ErrInterrupted)
	}
	return nil
}
