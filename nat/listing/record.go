// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// recordVersion is the version of the JSON form of a Table. Readers refuse others.
const recordVersion = 1

// record is the JSON form of a Table, for a file. Rules are the bytes that the kernel
// and programs exchange, whose meaning never changes.
type record struct {
	Version   int                       `json:"version"`
	Flags     uint32                    `json:"flags,omitempty"`
	Sets      map[string]bool           `json:"sets"`
	Chains    []chainRecord             `json:"chains"`
	Elements  []elementRecord           `json:"elements"`
	Ranges    map[string][]netip.Prefix `json:"ranges,omitempty"`
	Live      []string                  `json:"live,omitempty"` // sets whose elements were read with counters
	StraySets []string                  `json:"straySets,omitempty"`
	Objects   []ruleset.Object          `json:"objects,omitempty"`
	Strays    []strayRecord             `json:"strays,omitempty"`
}

type chainRecord struct {
	Name  string      `json:"name"`
	Hook  *hookRecord `json:"hook,omitempty"`
	Rules [][]byte    `json:"rules,omitempty"`
}

type hookRecord struct {
	Type     string `json:"type"`
	Number   uint32 `json:"number"`
	Priority int32  `json:"priority"`
	Drops    bool   `json:"drops,omitempty"`
}

type elementRecord struct {
	Set     string `json:"set"`
	Key     string `json:"key,omitempty"` // address:port
	Proto   uint8  `json:"proto,omitempty"`
	Slot    uint32 `json:"slot,omitempty"`
	Client  string `json:"client,omitempty"`
	Data    string `json:"data,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	Comment string `json:"comment,omitempty"`

	Counter bool   `json:"counter,omitempty"`
	Packets uint64 `json:"packets,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`
	Timeout int64  `json:"timeoutMs,omitempty"`
	Expires int64  `json:"expiresMs,omitempty"`
}

type strayRecord struct {
	Set     string         `json:"set"`
	Key     []byte         `json:"key,omitempty"`
	KeyEnd  []byte         `json:"keyEnd,omitempty"`
	Flags   uint32         `json:"flags,omitempty"`
	Element *elementRecord `json:"element,omitempty"`
	// Verdict is one that only other programs write, and Chain where it leads.
	Verdict int32  `json:"verdict,omitempty"`
	Chain   string `json:"chain,omitempty"`
	// Odd is what else the element has (nft.Odd).
	Odd uint8 `json:"odd,omitempty"`
}

// MarshalJSON writes everything that was read of the table.
func (t *Table) MarshalJSON() ([]byte, error) {
	f := t.Found
	r := record{Version: recordVersion, Flags: f.Flags, Sets: map[string]bool{}, StraySets: f.StraySets, Objects: f.StrayObjects, Ranges: map[string][]netip.Prefix{}}
	for set, same := range f.Sets {
		r.Sets[set.String()] = same
	}
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		c, err := newChainRecord(f.Chains[name])
		if err != nil {
			return nil, err
		}
		r.Chains = append(r.Chains, c)
	}
	for set, list := range f.Ranges {
		r.Ranges[set.String()] = list
	}
	for e := range f.Elements.All() {
		if _, live := t.Entries[e.Set]; !live {
			r.Elements = append(r.Elements, newElementRecord(&ruleset.Entry{Element: *e}))
		}
	}
	for _, set := range slices.SortedFunc(maps.Keys(t.Entries), ruleset.CompareSets) {
		r.Live = append(r.Live, set.String())
		for i := range t.Entries[set] {
			r.Elements = append(r.Elements, newElementRecord(&t.Entries[set][i]))
		}
	}
	for i := range f.Strays {
		s := &f.Strays[i]
		out := strayRecord{Set: s.Set.String(), Key: []byte(s.Key), KeyEnd: []byte(s.KeyEnd), Flags: s.Flags, Odd: uint8(s.Odd)}
		if s.Element != (ruleset.Element{}) {
			e := newElementRecord(&ruleset.Entry{Element: s.Element})
			out.Element = &e
		}
		if s.Verdict != nil {
			out.Verdict, out.Chain = int32(s.Verdict.Kind), s.Verdict.Chain
		}
		r.Strays = append(r.Strays, out)
	}
	return json.Marshal(r)
}

func newChainRecord(c *ruleset.Chain) (chainRecord, error) {
	out := chainRecord{Name: c.Name}
	if h := c.Hook; h != nil {
		out.Hook = &hookRecord{Type: string(h.Type), Number: uint32(h.Number), Priority: int32(h.Priority), Drops: h.Drops}
	}
	for _, rule := range c.Rules {
		b, err := nft.EncodeExprs(unix.NFPROTO_INET, rule.Exprs)
		if err != nil {
			return out, fmt.Errorf("chain %s: %w", c.Name, err)
		}
		out.Rules = append(out.Rules, b)
	}
	return out, nil
}

func newElementRecord(e *ruleset.Entry) elementRecord {
	out := elementRecord{
		Set: e.Set.String(), Proto: uint8(e.Key.Proto), Slot: e.Slot, Verdict: e.Verdict, Comment: e.Comment,
		Counter: e.Counter, Packets: e.Packets, Bytes: e.Bytes, Timeout: e.Timeout.Milliseconds(), Expires: e.Expires.Milliseconds(),
	}
	if e.Key.IP.IsValid() {
		out.Key = e.Key.AddrPort().String()
	}
	if e.Client.IsValid() {
		out.Client = e.Client.String()
	}
	if e.Data.IsValid() {
		out.Data = e.Data.String()
	}
	return out
}

// UnmarshalJSON reads what MarshalJSON wrote. It refuses a set that this version of the
// table does not have.
func (t *Table) UnmarshalJSON(b []byte) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	if r.Version != recordVersion {
		return fmt.Errorf("read table: version %d is not %d; use the fairlead that wrote it", r.Version, recordVersion)
	}
	f := &ruleset.Snapshot{
		Exists: true, Flags: r.Flags, StraySets: r.StraySets, StrayObjects: r.Objects,
		Sets: map[ruleset.Set]bool{}, Chains: map[string]*ruleset.Chain{}, Ranges: map[ruleset.Set][]netip.Prefix{},
	}
	*t = Table{Found: f, Entries: map[ruleset.Set][]ruleset.Entry{}}
	u := unmarshal{table: t}
	u.sets(&r)
	for i := range r.Chains {
		u.chain(&r.Chains[i])
	}
	for i := range r.Elements {
		u.element(&r.Elements[i])
	}
	for i := range r.Strays {
		u.stray(&r.Strays[i])
	}
	return errors.Join(u.errs...)
}

// unmarshal fills a table with what a record says, and gathers what is wrong with it.
type unmarshal struct {
	table *Table
	errs  []error
}

func (u *unmarshal) failed(err error) { u.errs = append(u.errs, err) }

func (u *unmarshal) set(name string) ruleset.Set {
	set, ok := ruleset.SetNamed(name)
	if !ok {
		u.failed(fmt.Errorf("read table: set %q is not known", name))
	}
	return set
}

func (u *unmarshal) sets(r *record) {
	for name, same := range r.Sets {
		u.table.Found.Sets[u.set(name)] = same
	}
	for _, name := range r.Live {
		u.table.Entries[u.set(name)] = nil
	}
	for name, list := range r.Ranges {
		u.table.Found.Ranges[u.set(name)] = list
	}
}

func (u *unmarshal) chain(r *chainRecord) {
	c, err := r.chain()
	u.failed(err)
	chains := u.table.Found.Chains
	if _, twice := chains[c.Name]; twice {
		u.failed(fmt.Errorf("read table: chain %.64q is there twice", c.Name))
	}
	chains[c.Name] = c
}

// element puts an element where its set is kept: with the clients, with what is wanted, or both.
func (u *unmarshal) element(r *elementRecord) {
	e, err := r.entry(u.set(r.Set))
	u.failed(err)
	if _, live := u.table.Entries[e.Set]; live {
		u.table.Entries[e.Set] = append(u.table.Entries[e.Set], e)
	}
	if !e.Set.Spec().Learnt {
		u.table.Found.Elements.Add(&e.Element)
	}
}

func (u *unmarshal) stray(s *strayRecord) {
	out := ruleset.Stray{Set: u.set(s.Set), Key: string(s.Key), KeyEnd: string(s.KeyEnd), Flags: s.Flags, Odd: nft.Odd(s.Odd)}
	if s.Element != nil {
		e, err := s.Element.entry(out.Set)
		u.failed(err)
		out.Element = e.Element
	}
	if len(s.Chain) > maxText {
		u.failed(fmt.Errorf("read table: element of %s: a text has more than %d bytes", out.Set, maxText))
	}
	if s.Verdict != 0 {
		out.Verdict = &expr.Verdict{Kind: expr.VerdictKind(s.Verdict), Chain: s.Chain}
	}
	u.table.Found.Strays = append(u.table.Found.Strays, out)
}

// chain refuses a rule that says other lengths than it has.
func (c *chainRecord) chain() (*ruleset.Chain, error) {
	out := &ruleset.Chain{Name: c.Name}
	if h := c.Hook; h != nil {
		out.Hook = &ruleset.Hook{
			Type: nftables.ChainType(h.Type), Number: nftables.ChainHook(h.Number), Priority: nftables.ChainPriority(h.Priority), Drops: h.Drops,
		}
	}
	var errs []error
	for i, b := range c.Rules {
		exprs := nft.ReadExprs(unix.NFPROTO_INET, b)
		if again, err := nft.EncodeExprs(unix.NFPROTO_INET, exprs); err != nil || !bytes.Equal(again, b) {
			errs = append(errs, fmt.Errorf("read table: chain %.64q: rule %d is damaged, or of a machine with another byte order", c.Name, i+1))
			continue
		}
		out.AddRule(exprs)
	}
	return out, errors.Join(errs...)
}

func (e *elementRecord) entry(set ruleset.Set) (ruleset.Entry, error) {
	out := ruleset.Entry{
		Element: ruleset.Element{Set: set, Slot: e.Slot, Verdict: e.Verdict, Comment: e.Comment, Counter: e.Counter},
		Packets: e.Packets, Bytes: e.Bytes,
		Timeout: time.Duration(e.Timeout) * time.Millisecond, Expires: time.Duration(e.Expires) * time.Millisecond,
	}
	var errs []error
	if e.Key != "" {
		key, err := netip.ParseAddrPort(e.Key)
		errs = append(errs, wrong(e.Key, err))
		out.Key = inet.Addr{IP: key.Addr(), Port: key.Port(), Proto: inet.Proto(e.Proto)}
	}
	if e.Client != "" {
		var err error
		out.Client, err = netip.ParsePrefix(e.Client)
		errs = append(errs, wrong(e.Client, err))
	}
	if e.Data != "" {
		var err error
		out.Data, err = netip.ParseAddrPort(e.Data)
		errs = append(errs, wrong(e.Data, err))
	}
	if err := errors.Join(append(errs, checkElement(&out.Element))...); err != nil {
		return ruleset.Entry{Element: ruleset.Element{Set: set}}, fmt.Errorf("read table: element of %s: %s", set, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return out, nil
}

// wrong names a value that cannot be read.
func wrong(value string, err error) error {
	if err != nil {
		return fmt.Errorf("%.64q is not an address and a port or range", value)
	}
	return nil
}

// maxText bounds the comment and the verdict of an element, as the kernel does.
const maxText = 256

// checkElement returns an error for what the kernel does not have.
func checkElement(e *ruleset.Element) error {
	if e.Slot >= ruleset.MaxSlots {
		return fmt.Errorf("slot %d is not below %d", e.Slot, ruleset.MaxSlots)
	}
	if len(e.Comment) > maxText || len(e.Verdict) > maxText {
		return fmt.Errorf("a text has more than %d bytes", maxText)
	}
	for _, ip := range []netip.Addr{e.Key.IP, e.Client.Addr(), e.Data.Addr()} {
		if ip.IsValid() && (inet.FamilyOf(ip) != e.Set.Family || ip.Zone() != "" || ip.Is4In6()) {
			return fmt.Errorf("%s is no %s address", ip, e.Set.Family)
		}
	}
	return nil
}
