// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// readCarried reads the entries that each CarryClients of a batch copies, by its index.
func (t *Table) readCarried(b ruleset.Batch) (map[int][]entry, error) {
	var out map[int][]entry
	for i := range b {
		if b[i].Verb != ruleset.CarryClients {
			continue
		}
		entries, err := t.entriesToCarry(&b[i])
		if err != nil {
			return nil, fmt.Errorf("list clients in %s: %w", b[i].Element.Set, err)
		}
		if out == nil {
			out = map[int][]entry{}
		}
		out[i] = entries
	}
	return out, nil
}

// entriesToCarry returns the entries that fit into the target and are not there yet. If
// there are too many, those that expire first are left out.
func (t *Table) entriesToCarry(o *ruleset.Op) ([]entry, error) {
	from, room := o.Element.Set, int(o.Set.Declaration().Size)
	there := map[string]struct{}{}
	if o.Set != from {
		if err := t.eachClient(o.Set, func(el *nft.Element) { there[string(el.Key)] = struct{}{} }); err != nil {
			return nil, err
		}
	}
	row := from.Spec()
	keyLen, dataLen := ruleset.KeyLen(row.Key, from.Family), ruleset.KeyLen(row.Data, from.Family)
	var out []entry
	err := t.eachClient(from, func(el *nft.Element) {
		_, twice := there[string(el.Key)]
		if twice || len(el.Key) != keyLen || len(el.Data) != dataLen || el.Timeout == 0 || el.Expires == 0 {
			return
		}
		if e, _ := decode(from, el); o.Element.Key != (inet.Addr{}) && e.Key != o.Element.Key {
			return
		}
		there[string(el.Key)] = struct{}{}
		out = append(out, entry{string(el.Key), string(el.Data), el.Timeout, min(el.Expires, el.Timeout)})
	})
	if over := len(there) - room; err == nil && over > 0 {
		slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(b.expires, a.expires) })
		out = out[:max(len(out)-over, 0)]
	}
	return out, err
}

// eachClient reads a map, which has no entries if it does not exist. Packets change it all
// the time.
func (t *Table) eachClient(s ruleset.Set, each func(*nft.Element)) error {
	err := union(t.socket, s, maphash.MakeSeed(), each)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// encodeEntries adds entries to an affinity map.
func encodeEntries(m *nl.Messages, set ruleset.Set, entries []entry) {
	self.PutElements(m, unix.NFT_MSG_NEWSETELEM, set.String(), len(entries), func(i int, out *nft.Element) bool {
		e := &entries[i]
		out.Key, out.Data, out.Timeout, out.Expires = []byte(e.key), []byte(e.data), e.timeout, e.expires
		return true
	})
}
