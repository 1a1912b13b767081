// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"iter"
	"slices"

	"fairlead/proxier/objects"
)

// apiKeys says which source of an API server has an object. It has an entry for each object, so
// an entry is the name and a small number, not two more strings.
type apiKeys struct {
	sources []string                     // a source is its place here
	kinds   map[string]map[string]uint16 // kind -> name -> source
}

func newAPIKeys() apiKeys { return apiKeys{kinds: map[string]map[string]uint16{}} }

// set notes that a source has an object, and no other source any longer.
func (a *apiKeys) set(key objects.Key, source string) {
	i := slices.Index(a.sources, source)
	if i < 0 {
		i = len(a.sources)
		a.sources = append(a.sources, source)
	}
	names := a.kinds[key.Kind]
	if names == nil {
		names = map[string]uint16{}
		a.kinds[key.Kind] = names
	}
	names[key.Name] = uint16(i)
}

// remove notes that no source has an object.
func (a *apiKeys) remove(key objects.Key) { delete(a.kinds[key.Kind], key.Name) }

// has reports whether a source has an object.
func (a *apiKeys) has(key objects.Key) bool {
	_, is := a.kinds[key.Kind][key.Name]
	return is
}

// of returns the objects that a source has.
func (a *apiKeys) of(source string) iter.Seq[objects.Key] {
	i := slices.Index(a.sources, source)
	return func(yield func(objects.Key) bool) {
		for kind, names := range a.kinds {
			for name, from := range names {
				if int(from) == i && !yield(objects.Key{Kind: kind, Name: name}) {
					return
				}
			}
		}
	}
}
