// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Churn writes other objects while something is measured.
type Churn struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	writes atomic.Int64
	failed atomic.Pointer[error]

	n     int // objects of one batch
	mu    sync.Mutex
	began []time.Time // of each batch
}

// Others rewrites the slices of many Services in turn, perSecond of them: each gets
// one endpoint less, then one more.
func (r *Rig) Others(ctx context.Context, shape Shape, perSecond int) *Churn {
	return r.churn(ctx, perSecond, func(i int) *discoveryv1.EndpointSlice {
		n := i % shape.Services
		all := endpoints(n*shape.Endpoints, min(shape.Endpoints, 100))
		return fresh(slice(Name(n), Name(n)+"-0", all[i/shape.Services%2:]...))
	})
}

// Huge creates a Service with many endpoints in slices of 100, and replaces all of
// them again and again, perSecond slices at a time: a tenant that takes all it can get.
// Its slices go away with the next Fill.
func (r *Rig) Huge(ctx context.Context, size, perSecond int) (*Churn, error) {
	const name = filled + "huge"
	vip := netip.MustParseAddr("10.97.255.1")
	if err := r.store.Put(ctx, service(name, vip), address(name, vip)); err != nil {
		return nil, err
	}
	slices := size / 100
	of := func(i int) *discoveryv1.EndpointSlice {
		n := i % slices
		// Every other time all of its endpoints are different ones.
		return slice(name, fmt.Sprintf("%s-%d", name, n), endpoints(1<<20+(i/slices%2)<<19+n*100, 100)...)
	}
	for i := range slices {
		if err := r.store.Put(ctx, of(i)); err != nil {
			return nil, err
		}
	}
	return r.churn(ctx, perSecond, func(i int) *discoveryv1.EndpointSlice { return fresh(of(i + slices)) }), nil
}

// endpoints are those that Fill has given out, from the first on.
func endpoints(first, n int) (out []netip.Addr) {
	base := manyNet.Addr().As4()
	for i := first + 1; i <= first+n; i++ {
		out = append(out, netip.AddrFrom4([4]byte{base[0], base[1] + byte(i>>16), byte(i >> 8), byte(i)}))
	}
	return out
}

// fresh is a slice in the form of an update.
func fresh(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	s.UID, s.CreationTimestamp = "", metav1.Time{}
	return s
}

func (r *Rig) churn(ctx context.Context, perSecond int, next func(i int) *discoveryv1.EndpointSlice) *Churn {
	return churn(ctx, time.Second/time.Duration(perSecond), 1, func(ctx context.Context, i, _ int) error {
		_, err := r.API.DiscoveryV1().EndpointSlices(namespace).Update(ctx, next(i), metav1.UpdateOptions{})
		return err
	})
}

// Roll replaces endpoints one after the other, perSecond of them, as a restart of all pods
// does: first one of each Service, then another one of each. It writes past the API
// server, which has to tell all who watch.
func (r *Rig) Roll(ctx context.Context, shape Shape, perSecond int) *Churn {
	const batches = 20 // per second
	return churn(ctx, time.Second/batches, perSecond/batches, func(ctx context.Context, first, n int) error {
		objects := make([]runtime.Object, n)
		for i := range n {
			service, pass := (first+i)%shape.Services, (first+i)/shape.Services
			addrs := endpoints(service*shape.Endpoints, shape.Endpoints)
			for old := range min(pass+1, shape.Endpoints) {
				addrs[old] = endpoints(1<<20+service*shape.Endpoints+old, 1)[0]
			}
			objects[i] = slice(Name(service), Name(service)+"-0", addrs...)
		}
		return r.store.Put(ctx, objects...)
	})
}

// churn writes n things every interval until it is stopped. first is the number of the
// first one.
func churn(ctx context.Context, interval time.Duration, n int, write func(ctx context.Context, first, n int) error) *Churn {
	ctx, cancel := context.WithCancel(ctx)
	c := &Churn{cancel: cancel, n: n}
	c.done.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for first := 0; ; first += n {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			c.mu.Lock()
			c.began = append(c.began, time.Now())
			c.mu.Unlock()
			if err := write(ctx, first, n); err != nil {
				if ctx.Err() == nil {
					c.failed.Store(&err)
				}
				return
			}
			c.writes.Add(int64(n))
		}
	})
	return c
}

// Writes returns how many objects were written so far.
func (c *Churn) Writes() int { return int(c.writes.Load()) }

// Await waits until object i was written, and returns when its write began.
func (c *Churn) Await(ctx context.Context, i int) (time.Time, error) {
	err := poll(ctx, time.Minute, func() error {
		if err := c.failed.Load(); err != nil {
			return fmt.Errorf("change other objects: %w", *err)
		}
		if got := c.Writes(); got <= i {
			return fmt.Errorf("%d objects were written, want more than %d", got, i)
		}
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began[i/c.n], nil
}

// Stop ends the churn and returns why it ended before, if it did.
func (c *Churn) Stop() error {
	c.cancel()
	c.done.Wait()
	if err := c.failed.Load(); err != nil {
		return fmt.Errorf("change other objects: %w", *err)
	}
	return nil
}
