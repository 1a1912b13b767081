// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Names under which RunAPI delivers to a Store.
const (
	sourceServices     = "api/services"
	sourceSlices       = "api/endpointslices"
	sourceNodes        = "api/nodes"
	sourceServiceCIDRs = "api/servicecidrs"
)

// ExpectAPI makes the store wait for everything that RunAPI delivers.
func ExpectAPI(store *Store) {
	for _, name := range []string{sourceServices, sourceSlices, sourceNodes, sourceServiceCIDRs} {
		store.Expect(name)
	}
}

// RunAPI follows the objects of an API server until ctx ends. It lists and
// watches services, endpointslices, nodes and servicecidrs, and nothing else.
// While the server is away what was seen last stays in the store.
func RunAPI(ctx context.Context, client kubernetes.Interface, store *Store) error {
	withCIDRs, err := servesServiceCIDRs(client)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Discovery; going on as if ServiceCIDRs were served")
		withCIDRs = true
	}
	services := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "!" + labelServiceProxyName
	}), informers.WithTransform(slim))
	slicesOnly := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "!" + corev1.IsHeadlessService
	}), informers.WithTransform(slim))
	rest := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim))

	watched := map[string]cache.SharedIndexInformer{
		sourceServices: services.Core().V1().Services().Informer(),
		sourceSlices:   slicesOnly.Discovery().V1().EndpointSlices().Informer(),
		sourceNodes:    rest.Core().V1().Nodes().Informer(),
	}
	if withCIDRs {
		watched[sourceServiceCIDRs] = rest.Networking().V1().ServiceCIDRs().Informer()
	} else {
		store.Delivered(sourceServiceCIDRs)
	}
	var errs []error
	for name, informer := range watched {
		reg, err := informer.AddEventHandler(handler(store))
		if err != nil {
			errs = append(errs, fmt.Errorf("watch %s: %w", name, err))
			continue
		}
		go func() {
			if cache.WaitForCacheSync(ctx.Done(), reg.HasSynced) {
				store.Delivered(name)
			}
		}()
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, f := range []informers.SharedInformerFactory{services, slicesOnly, rest} {
		f.StartWithContext(ctx)
		defer f.Shutdown()
	}
	<-ctx.Done()
	return nil
}

// servesServiceCIDRs asks for networking.k8s.io/v1 servicecidrs (Kubernetes 1.33).
func servesServiceCIDRs(client kubernetes.Interface) (bool, error) {
	list, err := client.Discovery().ServerResourcesForGroupVersion(networkingv1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("discover servicecidrs: %w", err)
	}
	for _, r := range list.APIResources {
		if r.Name == "servicecidrs" {
			return true, nil
		}
	}
	return false, nil
}

// converted is what an informer keeps in place of an object: its name, for the
// cache, and the slim form.
type converted struct {
	metav1.ObjectMeta
	item item
}

// slim is the informers' transform: the slim form is the only copy in memory.
func slim(obj any) (any, error) {
	c := &converted{}
	switch in := obj.(type) {
	case *corev1.Service:
		c.item.service, c.item.problems = convertService(in)
		c.item.key = objectKey{kindService, namespaced(&in.ObjectMeta)}
		c.keep(&in.ObjectMeta)
	case *discoveryv1.EndpointSlice:
		c.item.slice, c.item.problems = convertSlice(in)
		c.item.key = objectKey{kindSlice, namespaced(&in.ObjectMeta)}
		c.keep(&in.ObjectMeta)
	case *corev1.Node:
		c.item.node, c.item.problems = convertNode(in)
		c.item.key = objectKey{kindNode, in.Name}
		c.keep(&in.ObjectMeta)
	case *networkingv1.ServiceCIDR:
		c.item.cidr, c.item.problems = convertServiceCIDR(in)
		c.item.key = objectKey{kindServiceCIDR, in.Name}
		c.keep(&in.ObjectMeta)
	default:
		return obj, nil // converted already, or a tombstone
	}
	return c, nil
}

func (c *converted) keep(m *metav1.ObjectMeta) {
	c.Namespace, c.Name, c.UID, c.ResourceVersion = m.Namespace, m.Name, m.UID, m.ResourceVersion
}

// handler stores and pokes; it does nothing else on the informers' goroutine.
func handler(store *Store) cache.ResourceEventHandler {
	put := func(obj any) {
		if c, ok := obj.(*converted); ok {
			store.Update(c.item.put)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, obj any) { put(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if c, ok := obj.(*converted); ok {
				store.Update(c.item.key.drop)
			}
		},
	}
}
