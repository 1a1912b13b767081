// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
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
	cidr     *ServiceCIDR
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

// put brings the store to what the item says; an item that says nothing any
// more takes the object out.
func (it *item) put(tx *Tx) {
	tx.SetProblems(it.key.kind, it.key.name, it.problems)
	switch {
	case it.service != nil:
		tx.SetService(it.service)
	case it.slice != nil:
		slice := it.slice
		if it.given && tx.s.slices[slice.Key] != slice {
			slice = slice.clone()
		}
		tx.SetSlice(slice)
		it.given = true
	case it.node != nil:
		tx.SetNode(it.node)
	case it.cidr != nil:
		tx.SetServiceCIDR(it.cidr)
	case it.pod != nil:
		tx.SetPod(it.pod)
	default:
		it.key.delete(tx)
	}
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

// delete takes the object out of the store.
func (k objectKey) delete(tx *Tx) {
	namespace, name := k.split()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	switch k.kind {
	case kindService:
		tx.DeleteService(key)
	case kindSlice:
		tx.DeleteSlice(key)
	case kindNode:
		tx.DeleteNode(k.name)
	case kindServiceCIDR:
		tx.DeleteServiceCIDR(k.name)
	case kindPod:
		tx.DeletePod(key)
	}
}

// drop takes the object and what was wrong with it out of the store.
func (k objectKey) drop(tx *Tx) {
	tx.SetProblems(k.kind, k.name, nil)
	k.delete(tx)
}
