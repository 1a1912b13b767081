// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"slices"
	"strings"
	"unique"
)

// Name is the name of a node or zone. Far more endpoints than names exist, so all equal
// names share one copy, and a Name has the size of a pointer. The zero value is the empty
// name, and the only one.
type Name struct{ handle unique.Handle[string] }

// NameOf returns the Name of a string. It keeps a copy and nothing that s is a piece of.
func NameOf(s string) Name {
	if s == "" {
		return Name{}
	}
	return Name{unique.Make(s)}
}

// String returns the name.
func (n Name) String() string {
	if n == (Name{}) {
		return ""
	}
	return n.handle.Value()
}

// Equal is ==, for programs that compare by reflection.
func (n Name) Equal(o Name) bool { return n == o }

// Names is a list of names. Equal lists share one copy. The zero value is the empty list,
// and the only one.
type Names struct{ joined Name }

// separator is in no name: the API server accepts letters, digits and "-_." only. A name in
// a manifest that has it counts as two.
const separator = "\x00"

// NamesOf returns a list.
func NamesOf(list ...string) Names {
	if len(list) == 1 {
		return Names{NameOf(list[0])}
	}
	return Names{NameOf(strings.Join(list, separator))}
}

// IsEmpty reports whether the list has no name.
func (n Names) IsEmpty() bool { return n == Names{} }

// List returns the names in their order.
func (n Names) List() []string {
	if n.IsEmpty() {
		return nil
	}
	return strings.Split(n.joined.String(), separator)
}

// Has reports whether the list has a name. It allocates nothing for a list of one.
func (n Names) Has(name string) bool {
	s := n.joined.String()
	if !strings.Contains(s, separator) {
		return s == name && !n.IsEmpty()
	}
	return slices.Contains(n.List(), name)
}

// Equal is ==, for programs that compare by reflection.
func (n Names) Equal(o Names) bool { return n == o }
