// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"net/netip"

	"fairlead/proxier/objects"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// MasqFile takes over the settings of a file of ip-masq-agent, and the error that
// keeps its newest version out of force, or nil.
func MasqFile(s *store.Store, path string, keep []netip.Prefix, err error) {
	r := objects.NewReport(objects.KindFile, path)
	if err != nil {
		r.Add("", "%v", err)
	}
	s.Update(func(tx *store.Tx) { tx.SetNonMasquerade(keep) })
	s.Book().Set(status.ByMasqFile, objects.Key{Kind: objects.KindFile, Name: path}, r.Problems)
}
