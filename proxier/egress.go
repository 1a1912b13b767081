// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import "net/netip"

// MasqFile takes over what a file of ip-masq-agent says, and why the newest
// version of it is not in force, or nil.
func (s *Store) MasqFile(path string, keep []netip.Prefix, err error) {
	r := newReport(kindFile, path)
	if err != nil {
		r.add("", "%v", err)
	}
	s.Update(func(tx *Tx) { tx.SetNonMasquerade(keep) })
	s.book.Set(byMasqFile, objectKey{kindFile, path}, r.problems)
}
