// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// attributes are the ways in which an element can differ from the wanted one. A change
// reports false for an element that has no such attribute.
var attributes = []struct {
	name   string
	change func(s ruleset.Set, e *changedElement) bool
}{
	{"comment lost", func(_ ruleset.Set, e *changedElement) bool {
		had := e.Comment != ""
		e.Comment = ""
		return had
	}},
	{"comment", func(_ ruleset.Set, e *changedElement) bool { e.Comment = "acme/other"; return true }},
	{"user data", func(_ ruleset.Set, e *changedElement) bool {
		e.Comment, e.userData = "", []byte{0xff, 2, 1, 2}
		return true
	}},
	{"counter", func(_ ruleset.Set, e *changedElement) bool { e.Counter = !e.Counter; return true }},
	{"data", func(_ ruleset.Set, e *changedElement) bool {
		if len(e.Data) > 0 {
			e.Data[len(e.Data)-3] ^= 1
		}
		return len(e.Data) > 0
	}},
	{"verdict drop", func(_ ruleset.Set, e *changedElement) bool {
		had := e.HasVerdict && e.Verdict != nft.VerdictDrop
		e.Verdict, e.Chain = nft.VerdictDrop, ""
		return had
	}},
	{"verdict return", func(_ ruleset.Set, e *changedElement) bool {
		e.Verdict, e.Chain = unix.NFT_RETURN, ""
		return e.HasVerdict
	}},
	{"verdict goto", func(_ ruleset.Set, e *changedElement) bool {
		had := e.HasVerdict && e.Chain != "refuse"
		e.Verdict, e.Chain = nft.VerdictGoto, "refuse"
		return had
	}},
	{"timeout", func(_ ruleset.Set, e *changedElement) bool { e.Timeout = 3600_000; return true }},
}

// changedElement is an element with user data that is no comment.
type changedElement struct {
	nft.Element
	userData []byte
}

func clone(e *nft.Element) changedElement {
	c := *e
	c.Key, c.KeyEnd, c.Data = bytes.Clone(e.Key), bytes.Clone(e.KeyEnd), bytes.Clone(e.Data)
	return changedElement{Element: c}
}

// elementWriter writes elements as another program does.
type elementWriter struct{ socket *nl.Socket }

var fairlead = nft.Table{Family: unix.NFPROTO_INET, Name: ruleset.TableName}

func newElementWriter(t *testing.T, ns *netns.NS) elementWriter {
	t.Helper()
	socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return elementWriter{socket}
}

// elements returns the elements of a set.
func (w elementWriter) elements(t *testing.T, set ruleset.Set) (out []changedElement) {
	t.Helper()
	var m nl.Messages
	var r nft.Reader
	fairlead.GetElements(&m, set.String())
	err := w.socket.Dump(&m, func(reply nl.Reply) { r.Elements(reply, func(e *nft.Element) { out = append(out, clone(e)) }) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// replace puts an element in the place of the one with its key.
func (w elementWriter) replace(set ruleset.Set, e *changedElement) error {
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	fairlead.PutElements(&m, unix.NFT_MSG_DELSETELEM, set.String(), 1, func(_ int, o *nft.Element) bool {
		o.Key, o.KeyEnd, o.Flags = e.Key, e.KeyEnd, e.Flags
		return true
	})
	if e.userData == nil {
		fairlead.PutElements(&m, unix.NFT_MSG_NEWSETELEM, set.String(), 1, func(_ int, o *nft.Element) bool { *o = e.Element; return true })
	} else {
		putWithUserData(&m, set, e)
	}
	var failed error
	if err := w.socket.Transact(&m, func(_ int, err error) { failed = err }); err != nil {
		return err
	}
	return failed
}

func putWithUserData(m *nl.Messages, set ruleset.Set, e *changedElement) {
	value := func(kind uint16, b []byte) {
		if len(b) > 0 {
			m.Nest(kind, func() { m.Attr(unix.NFTA_DATA_VALUE, b...) })
		}
	}
	fairlead.Begin(m, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
	m.String(unix.NFTA_SET_ELEM_LIST_TABLE, fairlead.Name)
	m.String(unix.NFTA_SET_ELEM_LIST_SET, set.String())
	m.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			if e.Flags != 0 {
				m.BE32(unix.NFTA_SET_ELEM_FLAGS, e.Flags)
			}
			value(unix.NFTA_SET_ELEM_KEY, e.Key)
			value(10 /* NFTA_SET_ELEM_KEY_END */, e.KeyEnd)
			value(unix.NFTA_SET_ELEM_DATA, e.Data)
			if e.HasVerdict {
				m.Nest(unix.NFTA_SET_ELEM_DATA, func() {
					m.Nest(unix.NFTA_DATA_VERDICT, func() {
						m.BE32(unix.NFTA_VERDICT_CODE, uint32(e.Verdict))
						if e.Chain != "" {
							m.String(unix.NFTA_VERDICT_CHAIN, e.Chain)
						}
					})
				})
			}
			m.Attr(unix.NFTA_SET_ELEM_USERDATA, e.userData...)
		})
	})
}

// TestMismatchesShowEachAttribute changes one attribute of one element of each set, for each
// attribute. One line names the element, or the set of ranges, and what differs stands in it.
func TestMismatchesShowEachAttribute(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	settings := nattest.Settings()
	s.Configure(settings)
	nattest.Variety(s)
	settle(t, s, table)
	w := newElementWriter(t, ns)
	seen := map[string]int{}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for set := range found.Sets {
		list := w.elements(t, set)
		if set.Spec().Learnt || len(list) == 0 {
			continue
		}
		was := list[len(list)-1]
		for _, a := range attributes {
			e := clone(&was.Element)
			if !a.change(set, &e) {
				continue
			}
			if err := w.replace(set, &e); err != nil {
				if a.name != "timeout" { // a set that was not declared with timeouts takes none
					t.Errorf("%s: %s: %v", set, a.name, err)
				}
				continue
			}
			seen[a.name]++
			checkOneLine(t, table, set, a.name)
			if err := w.replace(set, &was); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, a := range attributes {
		if seen[a.name] == 0 && a.name != "timeout" {
			t.Errorf("no set has an element whose %s can differ", a.name)
		}
	}
	if lines := mismatchesOf(t, table); len(lines) > 0 {
		t.Errorf("after all is put back: %q", lines)
	}
}

func mismatchesOf(t *testing.T, table *kernel.Table) []plan.Mismatch {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := plan.NewState()
	want.Configure(nattest.Settings())
	nattest.Variety(want)
	return want.Mismatches(found)
}

// checkOneLine looks for the line of the set. The elements of sticky sets say which number the
// maps and chains of a frontend have. Where that is lost, a repair makes them under another
// number, which is more lines.
func checkOneLine(t *testing.T, table *kernel.Table, set ruleset.Set, attribute string) {
	t.Helper()
	list := mismatchesOf(t, table)
	of := slices.DeleteFunc(slices.Clone(list), func(m plan.Mismatch) bool {
		return !strings.HasPrefix(m.Object, "element of "+set.String()+" ") && m.Object != "set "+set.String()
	})
	sticky := set.Kind == ruleset.Sticky || set.Kind == ruleset.NodeSticky
	if len(of) != 1 || of[0].What != "changed" || len(list) != 1 && !sticky {
		t.Errorf("%s: %s: %q, want one line", set, attribute, list)
		return
	}
	line := of[0].String()
	have, want, both := strings.Cut(strings.TrimPrefix(of[0].Detail, "have "), ", want ")
	switch {
	case both && have == want:
		t.Errorf("%s: %s: both sides are equal: %s", set, attribute, line)
	case !both && !strings.Contains(line, " with "):
		t.Errorf("%s: %s: %q does not show the difference", set, attribute, line)
	}
	if attribute == "user data" && !strings.Contains(line, "with user data that is no comment") {
		t.Errorf("%s: %s: %q", set, attribute, line)
	}
}
