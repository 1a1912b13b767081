// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// Objects are API objects as Kubernetes has them, including those that fairlead does not
// serve. Each list is sorted by namespace and name.
type Objects struct {
	Services     []*corev1.Service
	Slices       []*discoveryv1.EndpointSlice
	Nodes        []*corev1.Node
	ServiceCIDRs []*networkingv1.ServiceCIDR
	Pods         []*corev1.Pod // those that were read with the others, such as of manifests
	// Missing says what could not be read, by kind, for example because the API server
	// forbids it.
	Missing map[string]string

	ofService map[types.NamespacedName][]*discoveryv1.EndpointSlice // see SlicesOf
}

// NewObjects sorts objects by kind. It leaves out objects of kinds that it does not have.
func NewObjects(list []metav1.Object) *Objects {
	o := &Objects{Missing: map[string]string{}}
	for _, obj := range list {
		switch obj := obj.(type) {
		case *corev1.Service:
			o.Services = append(o.Services, obj)
		case *discoveryv1.EndpointSlice:
			o.Slices = append(o.Slices, obj)
		case *corev1.Node:
			o.Nodes = append(o.Nodes, obj)
		case *networkingv1.ServiceCIDR:
			o.ServiceCIDRs = append(o.ServiceCIDRs, obj)
		case *corev1.Pod:
			o.Pods = append(o.Pods, obj)
		}
	}
	o.Sort()
	return o
}

// Sort sorts each list.
func (o *Objects) Sort() {
	sortObjects(o.Services)
	sortObjects(o.Slices)
	sortObjects(o.Nodes)
	sortObjects(o.ServiceCIDRs)
	sortObjects(o.Pods)
}

func sortObjects[T metav1.Object](list []T) {
	slices.SortFunc(list, func(a, b T) int {
		return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
	})
}

// All returns all objects, Services first.
func (o *Objects) All() []metav1.Object {
	var out []metav1.Object
	for _, v := range o.Services {
		out = append(out, v)
	}
	for _, v := range o.Slices {
		out = append(out, v)
	}
	for _, v := range o.Nodes {
		out = append(out, v)
	}
	for _, v := range o.ServiceCIDRs {
		out = append(out, v)
	}
	for _, v := range o.Pods {
		out = append(out, v)
	}
	return out
}

// Store returns a store with all objects, for the resolve.
func (o *Objects) Store() (*store.Store, error) {
	s := store.New()
	var failed error
	s.Update(func(tx *store.Tx) {
		for _, obj := range o.All() {
			it, err := convert.Convert(obj)
			if err != nil {
				failed = err
				continue
			}
			tx.Put(&it)
		}
	})
	return s, failed
}

// Service returns the Service of a name, or nil.
func (o *Objects) Service(key types.NamespacedName) *corev1.Service {
	i, ok := slices.BinarySearchFunc(o.Services, key, func(s *corev1.Service, key types.NamespacedName) int {
		return objects.CompareNames(types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, key)
	})
	if !ok {
		return nil
	}
	return o.Services[i]
}

// SlicesOf returns the slices that name a Service. The first call sorts all of Slices.
func (o *Objects) SlicesOf(key types.NamespacedName) []*discoveryv1.EndpointSlice {
	if o.ofService == nil {
		o.ofService = map[types.NamespacedName][]*discoveryv1.EndpointSlice{}
		for _, s := range o.Slices {
			of := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
			o.ofService[of] = append(o.ofService[of], s)
		}
	}
	return o.ofService[key]
}

// Node returns the Node of a name, or nil.
func (o *Objects) Node(name string) *corev1.Node {
	for _, n := range o.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// list is a v1 List, as kubectl prints it.
type list struct {
	metav1.TypeMeta
	Items []any `json:"items"`
}

// MarshalJSON writes a v1 List, which kubectl, --manifests and NewObjects read. It leaves
// out metadata.managedFields, which are of no use here and most of the size.
func (o *Objects) MarshalJSON() ([]byte, error) {
	out := list{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: []any{}}
	for _, obj := range o.All() {
		item, err := withType(obj)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	return json.Marshal(out)
}

// withType returns a shallow copy that names its kind, which objects of a list lack.
func withType(obj metav1.Object) (any, error) {
	switch obj := obj.(type) {
	case *corev1.Service:
		return typed(obj, corev1.SchemeGroupVersion.WithKind(objects.KindService)), nil
	case *discoveryv1.EndpointSlice:
		return typed(obj, discoveryv1.SchemeGroupVersion.WithKind(objects.KindSlice)), nil
	case *corev1.Node:
		return typed(obj, corev1.SchemeGroupVersion.WithKind(objects.KindNode)), nil
	case *networkingv1.ServiceCIDR:
		return typed(obj, networkingv1.SchemeGroupVersion.WithKind(objects.KindServiceCIDR)), nil
	case *corev1.Pod:
		return typed(obj, corev1.SchemeGroupVersion.WithKind(objects.KindPod)), nil
	}
	return nil, fmt.Errorf("write %T: not a kind that fairlead uses", obj)
}

// typed returns a shallow copy of an object with its kind and without managedFields.
func typed[T any, P interface {
	*T
	metav1.Object
	runtime.Object
}](obj P, kind schema.GroupVersionKind) P {
	c := *obj
	out := P(&c)
	out.GetObjectKind().SetGroupVersionKind(kind)
	out.SetManagedFields(nil)
	return out
}
