// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"fairlead/proxier/convert"
	"fairlead/proxier/store"
)

// Names under which RunAPI delivers to a Store.
const (
	sourceServices     = "api/services"
	sourceSlices       = "api/endpointslices"
	sourceNodes        = "api/nodes"
	sourceServiceCIDRs = "api/servicecidrs"
	sourcePods         = "api/pods"
)

// ExpectAPI makes the store wait for everything that RunAPI delivers.
func ExpectAPI(store *store.Store) {
	for _, name := range []string{sourceServices, sourceSlices, sourceNodes, sourceServiceCIDRs, sourcePods} {
		store.Expect(name)
	}
}

// RunAPI follows the objects of an API server until ctx ends. It lists and
// watches services, endpointslices, nodes, servicecidrs and the pods of one
// node only. While the server is away the store keeps the objects it saw last.
//
// The reflectors write straight into the store, which holds the only copy of each
// object. Each list, the first as well as one after a gap, is one update of the
// store.
func RunAPI(ctx context.Context, client Client, node string, store *store.Store) error {
	// The labels are those kube-proxy selects by.
	services := listWatch(client, client.CoreV1().Services(""), selector{labels: "!" + convert.LabelServiceProxyName})
	endpoints := listWatch(client, client.DiscoveryV1().EndpointSlices(""), selector{labels: "!" + corev1.IsHeadlessService})
	nodes := listWatch(client, client.CoreV1().Nodes(), selector{})
	cidrs := client.NetworkingV1().ServiceCIDRs()
	pods, here := client.CoreV1().Pods(""), selector{fields: "spec.nodeName=" + node}

	var all sync.WaitGroup
	var heard answers
	all.Go(func() { runReflector(ctx, sourceServices, services, store, &heard) })
	all.Go(func() { runReflector(ctx, sourceSlices, endpoints, store, &heard) })
	all.Go(func() { runReflector(ctx, sourceNodes, nodes, store, &heard) })
	all.Go(func() {
		if await(ctx, cidrs, selector{}, "--service-cidr is used", func() { store.Delivered(sourceServiceCIDRs) }) {
			runReflector(ctx, sourceServiceCIDRs, listWatch(client, cidrs, selector{}), store, &heard)
		}
	})
	all.Go(func() {
		if await(ctx, pods, here, "hostPorts of pods are not served", func() { store.Delivered(sourcePods) }) {
			runReflector(ctx, sourcePods, listWatch(client, pods, here), store, &heard)
		}
	})
	all.Wait()
	return nil
}

// api holds the methods that the typed clients of all kinds share.
type api[List runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (List, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// selector narrows the objects that are listed and watched.
type selector struct{ labels, fields string }

func (s selector) in(o metav1.ListOptions) metav1.ListOptions {
	o.LabelSelector, o.FieldSelector = s.labels, s.fields
	return o
}

func listWatch[List runtime.Object](client any, of api[List], only selector) cache.ListerWatcher {
	list := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return of.List(ctx, only.in(o))
	}
	var again rewatch
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: list,
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if err := again.check(ctx, &o, list); err != nil {
				return nil, err
			}
			return of.Watch(ctx, only.in(o))
		},
	}, client)
}

// An API server that forbids a kind is asked again at growing intervals. The first
// answer proves little, because a server that has just started may forbid for a
// moment what its roles allow.
const (
	absentRetryFirst = time.Second
	absentRetryMost  = 5 * time.Minute
)

// await returns true once the server allows reading an optional kind, and false when
// ctx ended before. The optional kinds are ServiceCIDRs, which Kubernetes has since
// 1.33, and Pods. await calls skip while the server refuses.
func await[List runtime.Object](ctx context.Context, of api[List], only selector, instead string, skip func()) bool {
	log := klog.FromContext(ctx)
	for retry := absentRetryFirst; ; retry = min(2*retry, absentRetryMost) {
		_, err := of.List(ctx, only.in(metav1.ListOptions{Limit: 1}))
		switch {
		case ctx.Err() != nil:
			return false
		case apierrors.IsNotFound(err):
			log.V(2).Info("The API server does not have what was asked for; "+instead, "err", err, "retryIn", retry)
		case apierrors.IsForbidden(err):
			log.Error(err, "The API server refuses; "+instead, "retryIn", retry)
		default:
			return true // the reflector deals with all other errors
		}
		skip()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retry):
		}
	}
}
