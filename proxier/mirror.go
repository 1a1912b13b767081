// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// mirror is the side of a Store that a reflector of one kind writes to, a
// cache.TransformingStore. It converts and pokes, and nothing else. Only the
// reflector's goroutine uses it.
type mirror struct {
	source string
	store  *Store
}

// converted is an object that was converted while the list it belongs to is
// still coming in, so that not even a list is ever in memory in full.
type converted struct {
	*metav1.ObjectMeta // namespace and name: by them the reflector finds it
	item               item
}

// Transformer makes reflectors convert the objects of a list one by one.
func (m *mirror) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if _, done := obj.(*converted); done {
			return obj, nil
		}
		it, err := convert(obj)
		if err != nil {
			return nil, err
		}
		namespace, name := it.key.split()
		return &converted{&metav1.ObjectMeta{Namespace: namespace, Name: name}, it}, nil
	}
}

// Add puts an object in.
func (m *mirror) Add(obj any) error {
	it, err := convert(obj)
	if err != nil {
		return err
	}
	m.store.Update(func(tx *Tx) { tx.putAPI(m.source, &it) })
	return nil
}

// Update is Add.
func (m *mirror) Update(obj any) error { return m.Add(obj) }

// Delete takes an object out.
func (m *mirror) Delete(obj any) error {
	it, err := convert(obj)
	if err != nil {
		return err
	}
	m.store.Update(func(tx *Tx) { tx.dropAPI(it.key) })
	return nil
}

// Replace makes a list all that there is, in one update.
func (m *mirror) Replace(list []any, _ string) error {
	items := make([]item, 0, len(list))
	now := make(map[objectKey]struct{}, len(list))
	for _, obj := range list {
		it, err := convert(obj)
		if err != nil {
			return err
		}
		items = append(items, it)
		now[it.key] = struct{}{}
	}
	m.store.Update(func(tx *Tx) {
		for key, source := range m.store.inAPI {
			if _, still := now[key]; source == m.source && !still {
				tx.dropAPI(key)
			}
		}
		for i := range items {
			tx.putAPI(m.source, &items[i])
		}
	})
	m.store.Delivered(m.source)
	return nil
}

// Resync does nothing: the loop looks after what the store already has.
func (m *mirror) Resync() error { return nil }

// convert reads an object of any kind that the API server is asked for.
func convert(obj any) (item, error) {
	var it item
	switch in := obj.(type) {
	case *converted:
		return in.item, nil
	case *corev1.Service:
		it.service, it.problems = convertService(in)
		it.key = objectKey{kindService, namespaced(&in.ObjectMeta)}
	case *discoveryv1.EndpointSlice:
		it.slice, it.problems = convertSlice(in)
		it.key = objectKey{kindSlice, namespaced(&in.ObjectMeta)}
	case *corev1.Node:
		it.node, it.problems = convertNode(in)
		it.key = objectKey{kindNode, in.Name}
	case *networkingv1.ServiceCIDR:
		it.cidr, it.problems = convertServiceCIDR(in)
		it.key = objectKey{kindServiceCIDR, in.Name}
	case *corev1.Pod:
		it.pod, it.problems = convertPod(in)
		it.key = objectKey{kindPod, namespaced(&in.ObjectMeta)}
	default:
		return it, fmt.Errorf("convert %T: not a kind that was asked for", obj)
	}
	return it, nil
}
