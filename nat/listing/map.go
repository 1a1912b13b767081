// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"

	"fairlead/nat/ruleset"
)

// Mapper says what stands for the addresses and names of a table.
type Mapper struct {
	Addr    func(netip.Addr) netip.Addr
	Prefix  func(netip.Prefix) netip.Prefix
	Comment func(string) string // of an element
	Text    func(string) string // such as the name of another program's set
	// Redacted says that bytes which may hold an address in a way that is not known give
	// way to others.
	Redacted bool
}

// Map returns a table with other addresses and names. Prefixes have to keep their length,
// and two of them their order of containment, so that rules still find their elements.
func (t *Table) Map(m Mapper) *Table {
	f := t.Found
	found := &ruleset.Snapshot{
		Exists: f.Exists, Flags: f.Flags, Sets: f.Sets, Chains: map[string]*ruleset.Chain{}, Ranges: map[ruleset.Set][]netip.Prefix{},
	}
	for name, c := range f.Chains {
		found.Chains[m.chainName(name)] = m.chain(c)
	}
	for e := range f.Elements.All() {
		mapped := m.element(e)
		found.Elements.Add(&mapped)
	}
	for set, list := range f.Ranges {
		for _, p := range list {
			found.Ranges[set] = append(found.Ranges[set], m.Prefix(p))
		}
		slices.SortFunc(found.Ranges[set], netip.Prefix.Compare)
	}
	for _, name := range f.StraySets {
		found.StraySets = append(found.StraySets, m.Text(name))
	}
	for _, o := range f.StrayObjects {
		found.StrayObjects = append(found.StrayObjects, ruleset.Object{Name: m.Text(o.Name), Type: o.Type})
	}
	for i := range f.Strays {
		found.Strays = append(found.Strays, m.stray(&f.Strays[i]))
	}
	out := &Table{Found: found, Entries: map[ruleset.Set][]ruleset.Entry{}}
	for set, list := range t.Entries {
		out.Entries[set] = nil
		for _, e := range list {
			e.Element = m.element(&e.Element)
			out.Entries[set] = append(out.Entries[set], e)
		}
	}
	return out
}

func (m *Mapper) chainName(name string) string {
	if ruleset.IsChainName(name) {
		return name
	}
	return m.Text(name)
}

func (m *Mapper) element(e *ruleset.Element) ruleset.Element {
	out := *e
	if !out.Key.IP.IsUnspecified() {
		out.Key.IP = m.Addr(out.Key.IP)
	}
	if out.Client.IsValid() {
		out.Client = m.Prefix(out.Client)
	}
	if out.Data.IsValid() {
		out.Data = netip.AddrPortFrom(m.Addr(out.Data.Addr()), out.Data.Port())
	}
	out.Comment = m.Comment(out.Comment)
	return out
}

// stray maps an element that another program wrote. Its key is bytes that only its set
// explains, so that others stand for them.
func (m *Mapper) stray(s *ruleset.Stray) ruleset.Stray {
	out := *s
	if s.Element != (ruleset.Element{}) {
		out.Element = m.element(&s.Element)
		if out.Element.Verdict != ruleset.VerdictDrop {
			out.Element.Verdict = m.chainName(s.Element.Verdict)
		}
	}
	if s.Verdict != nil {
		out.Verdict = &expr.Verdict{Kind: s.Verdict.Kind, Chain: m.chainName(s.Verdict.Chain)}
	}
	if m.Redacted {
		out.Key, out.KeyEnd = digest(s.Key), digest(s.KeyEnd)
	}
	return out
}

// digest returns 4 bytes that tell two keys from each other.
func digest(s string) string {
	if s == "" {
		return ""
	}
	b := sha256.Sum256([]byte(s))
	return string(b[:4])
}
