// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// Unknown is an object of a file whose kind Kubernetes does not have, because it is
// misspelt or a custom resource. fairlead ignores it.
type Unknown struct{ File, APIVersion, Kind, Name string }

// String names object, file and, if there is one, the kind that was probably meant.
func (u Unknown) String() string {
	text := fmt.Sprintf("%s: %s %s is ignored: Kubernetes has no kind %s in %s",
		u.File, objects.Printable(u.Kind), objects.Printable(u.Name), objects.Printable(u.Kind), objects.Printable(u.APIVersion))
	if meant := u.meant(); meant != "" {
		text += "; did you mean " + meant + "?"
	}
	return text
}

// used are the objects that fairlead reads, by apiVersion and kind.
func used() [][2]string {
	return [][2]string{
		{"v1", "Service"},
		{"discovery.k8s.io/v1", "EndpointSlice"},
		{"v1", "Node"},
		{"networking.k8s.io/v1", "ServiceCIDR"},
		{"v1", "Pod"},
	}
}

// meant returns the kind that fairlead reads and that differs by at most two letters
// from the given one, or not at all.
func (u Unknown) meant() string {
	for _, k := range used() {
		if objects.Distance(strings.ToLower(u.Kind), strings.ToLower(k[1])) <= 2 {
			return fmt.Sprintf("kind %s in %s", k[1], k[0])
		}
	}
	return ""
}

// maxUnknown bounds the number of unknown objects that are kept of one file.
const maxUnknown = 100

// skip notes an object that fairlead does not use if Kubernetes has no such kind.
func (p *parser) skip(meta metav1.TypeMeta, data []byte) {
	if scheme.Scheme.Recognizes(meta.GroupVersionKind()) || len(p.unknown) >= maxUnknown {
		return
	}
	var head struct {
		Metadata struct{ Namespace, Name string }
	}
	_ = json.Unmarshal(data, &head) // an object without a name is worth a line, too
	name := head.Metadata.Name
	if head.Metadata.Namespace != "" {
		name = head.Metadata.Namespace + "/" + name
	}
	p.unknown = append(p.unknown, Unknown{APIVersion: meta.APIVersion, Kind: meta.Kind, Name: name})
}

// ReadFiles puts the objects of a file, or of the files of a directory, into the store.
// It returns an error for each file and object that cannot be read, and the objects of
// unknown kinds; all others are in the store.
func ReadFiles(path string, store *store.Store) ([]Unknown, error) {
	f := newFiles(path, store)
	f.once = true
	err := f.readAll()
	var unknown []Unknown
	for name, file := range f.byName {
		for _, u := range file.unknown {
			u.File = name
			unknown = append(unknown, u)
		}
	}
	slices.SortStableFunc(unknown, func(a, b Unknown) int { return strings.Compare(a.File, b.File) })
	return unknown, err
}
