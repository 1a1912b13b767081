// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"fairlead/cmd/fairlead/view"
	"fairlead/proxier/source"
)

// readTimeout bounds the time that a command waits for the API server.
const readTimeout = 30 * time.Second

// readManifests returns the objects that could be read, with an error about the others.
func readManifests(path string) (*view.Objects, error) {
	list, err := source.ReadTyped(path)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	o := view.NewObjects(list)
	if err != nil {
		o.Missing["manifests"] = err.Error()
	}
	return o, nil
}

// readObjects reads all objects but Pods of the API server, and all objects of
// manifests. Of two objects of one name the one of the API server counts, as for the
// agent. A kind that cannot be read is noted in Missing; only Services are required.
func readObjects(ctx context.Context, client kubernetes.Interface, manifests string) (*view.Objects, error) {
	o := view.NewObjects(nil)
	if client != nil {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		services, err := list(ctx, client.CoreV1().Services("").List)
		if err != nil {
			return nil, fmt.Errorf("list Services: %w", err)
		}
		kinds := map[string]func() ([]metav1.Object, error){
			"EndpointSlice": func() ([]metav1.Object, error) {
				return list(ctx, client.DiscoveryV1().EndpointSlices("").List)
			},
			"Node": func() ([]metav1.Object, error) { return list(ctx, client.CoreV1().Nodes().List) },
			"ServiceCIDR": func() ([]metav1.Object, error) {
				return list(ctx, client.NetworkingV1().ServiceCIDRs().List)
			},
		}
		all, missing := services, map[string]string{}
		for kind, read := range kinds {
			found, err := read()
			if err != nil {
				missing[kind] = err.Error()
			}
			all = append(all, found...)
		}
		o = view.NewObjects(all)
		o.Missing = missing
	}
	if manifests == "" {
		return o, nil
	}
	files, err := readManifests(manifests)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, obj := range o.All() {
		seen[name(obj)] = true
	}
	merged := o.All()
	for _, obj := range files.All() {
		if !seen[name(obj)] {
			merged = append(merged, obj)
		}
	}
	out := view.NewObjects(merged)
	for _, from := range []*view.Objects{o, files} {
		maps.Copy(out.Missing, from.Missing)
	}
	return out, nil
}

func name(obj metav1.Object) string {
	return fmt.Sprintf("%T %s/%s", obj, obj.GetNamespace(), obj.GetName())
}

func listPods(ctx context.Context, client kubernetes.Interface, namespace string) ([]*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	all, err := list(ctx, client.CoreV1().Pods(namespace).List)
	if err != nil {
		return nil, fmt.Errorf("list Pods: %w", err)
	}
	return view.NewObjects(all).Pods, nil
}

// list reads all pages of a list.
func list[L runtime.Object](ctx context.Context, read func(context.Context, metav1.ListOptions) (L, error)) ([]metav1.Object, error) {
	var out []metav1.Object
	page := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return read(ctx, o) }
	err := pager.New(page).EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
		obj, err := meta.Accessor(item)
		out = append(out, obj)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
