// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// A dump of a set can lack elements and list others twice, without a mark of the kernel
// (nf_tables_dump_set and nft_rhash_walk, seen with 6.18). The kernel continues a dump by
// the number of elements that it has listed, so it skips one for each that was deleted
// meanwhile, and repeats one for each that was added. If it resizes the hash table between
// two parts, which follows soon after a set grew or shrank, the rest has another order.
//
// Transactions change the generation, which each part of a dump names. Packets change
// affinity maps without one, and so does the end of a timeout. Duplicates tell of the rest.

// eachElement dumps a set. It returns nl.ErrInterrupted if there was a transaction
// meanwhile, in this table or another one.
func eachElement(socket *nl.Socket, s ruleset.Set, each func(*nft.Element)) error {
	var m nl.Messages
	self.GetElements(&m, s.String())
	parts, first, changed := 0, uint16(0), false
	var texts nft.Reader
	err := socket.Dump(&m, func(r nl.Reply) {
		id := nft.Generation16(r)
		if parts++; parts == 1 {
			first = id
		}
		changed = changed || id != first
		texts.Elements(r, each)
	})
	if err == nil && changed {
		return nl.ErrInterrupted
	}
	return err
}

// mostCounted bounds the memory that is taken before an element was read.
const mostCounted = 1 << 16

// freshTries is how many readings begin anew before unionTries are put together.
const freshTries, unionTries = 4, 3

// gather reads a set that others may change meanwhile, and calls each once for every key.
// It calls reset before it begins anew. A reading counts if nothing changed while it went
// on, or if the one before was the same. After freshTries the result is what one of
// unionTries readings lists: each may miss some elements, and hardly ever do all miss the
// same one. It can have an element that was deleted during the last readings.
//
// The set has about count elements, 0 if that is not known.
func gather(socket *nl.Socket, s ruleset.Set, count uint32, reset func(), each func(*nft.Element)) error {
	seed := maphash.MakeSeed()
	var before uint64
	hashes := make([]uint64, 0, min(count, mostCounted))
	for try := range freshTries {
		reset()
		k := keys{seed: seed, contents: try > 0, hashes: hashes[:0]}
		err := eachElement(socket, s, func(el *nft.Element) {
			k.add(el)
			each(el)
		})
		if err != nil && !isTorn(err) {
			return err
		}
		doubled := k.doubled()
		hashes = k.hashes
		if !doubled && (err == nil || errors.Is(err, nl.ErrInterrupted) && try > 1 && k.sum == before) {
			return nil
		}
		before = k.sum
	}
	reset()
	return union(socket, s, seed, each)
}

// union reads a set until nothing changed meanwhile, unionTries times at most, and calls
// each once for every key.
func union(socket *nl.Socket, s ruleset.Set, seed maphash.Seed, each func(*nft.Element)) error {
	seen := map[uint64]struct{}{}
	var err error
	for range unionTries {
		k := keys{seed: seed}
		err = eachElement(socket, s, func(el *nft.Element) {
			key := k.add(el)
			if _, again := seen[key]; !again {
				seen[key] = struct{}{}
				each(el)
			}
		})
		if err != nil && !isTorn(err) {
			return err
		}
		if err == nil && !k.doubled() {
			return nil
		}
	}
	if errors.Is(err, unix.ENOBUFS) {
		return err
	}
	return nil
}

// isTorn reports whether a dump is to be read again.
func isTorn(err error) bool { return errors.Is(err, nl.ErrInterrupted) || errors.Is(err, unix.ENOBUFS) }

// settle repeats read, which reads declarations, until nothing changed meanwhile or two
// readings have the same sum. The last reading counts in any case.
func settle(read func() error, sum func() uint64) error {
	var before uint64
	var err error
	for try := range freshTries + unionTries {
		if err = read(); !isTorn(err) {
			return err
		}
		if now := sum(); errors.Is(err, nl.ErrInterrupted) {
			if try > 0 && now == before {
				return nil
			}
			before = now
		}
	}
	if errors.Is(err, nl.ErrInterrupted) {
		return nil
	}
	return err
}

// keys remembers which elements a dump listed. Two keys with the same hash are next to
// impossible.
type keys struct {
	seed     maphash.Seed
	hashes   []uint64
	contents bool   // compute sum
	sum      uint64 // of the elements, in whatever order, without what packets change
}

// add notes an element and returns the hash of its key.
func (k *keys) add(el *nft.Element) uint64 {
	key := maphash.Bytes(k.seed, el.Key)
	k.hashes = append(k.hashes, key)
	if k.contents {
		k.sum += k.content(el)
	}
	return key
}

// content returns a hash of an element without its counter and what is left of its time.
func (k *keys) content(el *nft.Element) uint64 {
	var h maphash.Hash
	h.SetSeed(k.seed)
	var numbers [18]byte
	binary.NativeEndian.PutUint32(numbers[:], el.Flags)
	binary.NativeEndian.PutUint32(numbers[4:], uint32(el.Verdict))
	binary.NativeEndian.PutUint64(numbers[8:], el.Timeout)
	for i, set := range []bool{el.Counter, el.Odd != 0} {
		if set {
			numbers[16+i] = 1
		}
	}
	_, _ = h.Write(numbers[:])
	for _, part := range [][]byte{el.Key, el.KeyEnd, el.Data} {
		_, _ = h.Write(part)
		_ = h.WriteByte(0)
	}
	_, _ = h.WriteString(el.Chain)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(el.Comment)
	return h.Sum64()
}

// doubled reports whether a key was added twice.
func (k *keys) doubled() bool {
	slices.Sort(k.hashes)
	return len(slices.Compact(k.hashes)) < len(k.hashes)
}
