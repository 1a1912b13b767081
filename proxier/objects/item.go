// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Key names an object of any kind. The name is namespace/name where the
// kind has namespaces.
type Key struct{ Kind, Name string }

// Object is an object that fairlead has a use for, converted: what a source says
// about one key. One of the pointers is set, or none where the object says
// nothing to this node or only problems are left.
type Object struct {
	Key      Key
	Service  *Service
	Slice    *Slice
	Node     *Node
	CIDR     *ServiceCIDR
	Pod      *Pod
	Problems []Problem
	// Unread is set for an object that could not be decoded.
	Unread bool
}

// Namespaced returns namespace/name.
func Namespaced(m *metav1.ObjectMeta) string {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}.String()
}

// Equal reports whether two objects say the same.
func (it *Object) Equal(other *Object) bool {
	return reflect.DeepEqual(it, other)
}

// Split returns an empty namespace for kinds that have none.
func (k Key) Split() (namespace, name string) {
	if before, after, ok := strings.Cut(k.Name, "/"); ok {
		return before, after
	}
	return "", k.Name
}

// Problem is about an object as a whole.
func (k Key) Problem(format string, args ...any) Problem {
	r := NewReport(k.Kind, k.Name)
	r.Add("", format, args...)
	return r.Problems[0]
}

// Bound keeps the first MaxProblems of what one reporter says about the object. The last
// one then says how many were left out. It changes the list.
func (k Key) Bound(list []Problem) []Problem {
	if len(list) <= MaxProblems {
		return list
	}
	list[MaxProblems-1] = k.Problem("%d further problems are left out", len(list)-MaxProblems+1)
	return list[:MaxProblems:MaxProblems]
}

// IsNamespaced reports whether objects of a kind have a namespace.
func IsNamespaced(kind string) bool {
	return kind == KindService || kind == KindSlice || kind == KindPod
}

// CompareNames orders names by namespace, then by name.
func CompareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// AppendNew keeps short lists free of duplicates.
func AppendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
