// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
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
//
// Four reflectors write straight into the store: it holds the only copy of each
// object, and a list, the first as well as one after a gap, is one update of
// the store.
func RunAPI(ctx context.Context, client kubernetes.Interface, store *Store) error {
	// The labels are those kube-proxy selects by.
	services := listWatch(client, client.CoreV1().Services(""), "!"+labelServiceProxyName)
	endpoints := listWatch(client, client.DiscoveryV1().EndpointSlices(""), "!"+corev1.IsHeadlessService)
	nodes := listWatch(client, client.CoreV1().Nodes(), "")
	cidrs := client.NetworkingV1().ServiceCIDRs()

	var all sync.WaitGroup
	all.Go(func() { runReflector(ctx, sourceServices, services, &corev1.Service{}, store) })
	all.Go(func() { runReflector(ctx, sourceSlices, endpoints, &discoveryv1.EndpointSlice{}, store) })
	all.Go(func() { runReflector(ctx, sourceNodes, nodes, &corev1.Node{}, store) })
	all.Go(func() {
		if awaitServiceCIDRs(ctx, cidrs, store) {
			runReflector(ctx, sourceServiceCIDRs, listWatch(client, cidrs, ""), &networkingv1.ServiceCIDR{}, store)
		}
	})
	all.Wait()
	return nil
}

// runReflector follows one kind until ctx ends.
func runReflector(ctx context.Context, source string, lw cache.ListerWatcher, kind runtime.Object, store *Store) {
	s := &mirror{source: source, store: store, seen: map[objectKey]struct{}{}}
	cache.NewReflectorWithOptions(lw, kind, s, cache.ReflectorOptions{Name: source}).RunWithContext(ctx)
}

// api is what the typed clients of all kinds have in common.
type api[List runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (List, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func listWatch[List runtime.Object](client any, of api[List], labels string) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = labels
			return of.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = labels
			return of.Watch(ctx, o)
		},
	}, client)
}

// absentRetry is how often an API server that lacks ServiceCIDRs is asked again.
const absentRetry = 5 * time.Minute

// awaitServiceCIDRs returns true once the server has ServiceCIDRs (Kubernetes
// 1.33) to follow, and false when ctx ended before. Services are not kept
// waiting for them.
func awaitServiceCIDRs(ctx context.Context, cidrs api[*networkingv1.ServiceCIDRList], store *Store) bool {
	log := klog.FromContext(ctx)
	for {
		_, err := cidrs.List(ctx, metav1.ListOptions{Limit: 1})
		switch {
		case ctx.Err() != nil:
			return false
		case apierrors.IsNotFound(err):
			log.V(2).Info("The API server has no ServiceCIDRs; --service-cidr is used", "retryIn", absentRetry)
		case apierrors.IsForbidden(err):
			log.Error(err, "ServiceCIDRs may not be read; --service-cidr is used", "retryIn", absentRetry)
		default:
			return true // the reflector deals with all other errors
		}
		store.Delivered(sourceServiceCIDRs)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(absentRetry):
		}
	}
}
