// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// objectKey names an object of any kind. The name is namespace/name where the
// kind has namespaces.
type objectKey struct{ kind, name string }

// item is an object that fairlead has a use for, converted: what a source says
// about one key. One of the pointers is set, or none where the object says
// nothing to this node or only problems are left.
type item struct {
	key      objectKey
	service  *Service
	slice    *Slice
	node     *Node
	CIDR     *ServiceCIDR
	pod      *Pod
	problems []Problem
	// unread is set for an object that could not be decoded.
	unread bool
	// given is set once the store may have had the slice: the loop may be
	// reading it, so the store is not to write to it again.
	given bool
}

func namespaced(m *metav1.ObjectMeta) string {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}.String()
}

// equal compares what is said.
func (it *item) equal(other *item) bool {
	a := *it
	a.given = other.given
	return reflect.DeepEqual(&a, other)
}

// split returns an empty namespace for kinds that have none.
func (k objectKey) split() (namespace, name string) {
	if before, after, ok := strings.Cut(k.name, "/"); ok {
		return before, after
	}
	return "", k.name
}

// problem is about an object as a whole.
func (k objectKey) problem(format string, args ...any) Problem {
	r := NewReport(k.kind, k.name)
	r.Add("", format, args...)
	return r.Problems[0]
}

func isNamespaced(kind string) bool {
	return kind == kindService || kind == kindSlice || kind == kindPod
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// appendNew keeps short lists free of duplicates.
func appendNew[T comparable](list []T, v T) []T {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}
