// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Documents returns the objects of a file of manifests, in their order.
func Documents(file string) (out []*unstructured.Unstructured, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for in := utilyaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var doc unstructured.Unstructured
		err := in.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(doc.Object) > 0 { // else comments alone
			out = append(out, &doc)
		}
	}
}

// Apply applies objects on the server, as kubectl apply --server-side does. The errors
// of all objects come back together. With metav1.DryRunAll nothing is kept.
func Apply(ctx context.Context, cfg *rest.Config, docs []*unstructured.Unstructured, dryRun ...string) error {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return err
	}
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return err
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	options := metav1.ApplyOptions{DryRun: dryRun, FieldManager: "fairlead-bench", Force: true}
	var errs []error
	for _, doc := range docs {
		gvk := doc.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err == nil {
			_, err = client.Resource(m.Resource).Namespace(doc.GetNamespace()).Apply(ctx, doc.GetName(), doc, options)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", doc.GetKind(), doc.GetName(), err))
		}
	}
	return errors.Join(errs...)
}
