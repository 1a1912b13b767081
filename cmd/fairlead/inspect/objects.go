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

	"fairlead/cmd/fairlead/view"
	"fairlead/proxier/source"
)

// readTimeout bounds the time that a command waits for the API server.
const readTimeout = 30 * time.Second

// pageSize is the number of objects that are asked for at once.
const pageSize = 500

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
		services, err := list(ctx, client.CoreV1().Services("").List, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list Services: %w", err)
		}
		kinds := map[string]func() ([]metav1.Object, error){
			"EndpointSlice": func() ([]metav1.Object, error) {
				return list(ctx, client.DiscoveryV1().EndpointSlices("").List, metav1.ListOptions{})
			},
			"Node": func() ([]metav1.Object, error) { return list(ctx, client.CoreV1().Nodes().List, metav1.ListOptions{}) },
			"ServiceCIDR": func() ([]metav1.Object, error) {
				return list(ctx, client.NetworkingV1().ServiceCIDRs().List, metav1.ListOptions{})
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
	all, err := list(ctx, client.CoreV1().Pods(namespace).List, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Pods: %w", err)
	}
	return view.NewObjects(all).Pods, nil
}

// apiList is a list of any kind.
type apiList interface {
	runtime.Object
	metav1.ListInterface
}

// list reads all pages of a list.
func list[L apiList](ctx context.Context, read func(context.Context, metav1.ListOptions) (L, error), o metav1.ListOptions) ([]metav1.Object, error) {
	o.Limit = pageSize
	var out []metav1.Object
	for {
		page, err := read(ctx, o)
		if err != nil {
			return nil, err
		}
		err = meta.EachListItem(page, func(item runtime.Object) error {
			obj, err := meta.Accessor(item)
			out = append(out, obj)
			return err
		})
		if err != nil {
			return nil, err
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return out, nil
		}
	}
}
