// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"fairlead/internal/lab"
)

// Bare is a client that watches probe's EndpointSlice and does nothing else: no agent
// can know of an update before it.
type Bare struct{ w watch.Interface }

// WatchProbe begins to watch. The caller closes it.
func (r *Rig) WatchProbe(ctx context.Context) (*Bare, error) {
	w, err := r.API.DiscoveryV1().EndpointSlices(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + probe})
	if err != nil {
		return nil, fmt.Errorf("watch EndpointSlice %s: %w", probe, err)
	}
	return &Bare{w}, nil
}

// Sees waits until the watch says that a pod is the endpoint of probe.
func (b *Bare) Sees(ctx context.Context, at *lab.Pod, patience time.Duration) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case e, ok := <-b.w.ResultChan():
			if !ok {
				return errors.New("the watch ended")
			}
			s, ok := e.Object.(*discoveryv1.EndpointSlice)
			if ok && len(s.Endpoints) == 1 && s.Endpoints[0].Addresses[0] == at.Addr4.String() {
				return nil
			}
		case <-timeout.C:
			return ErrLate
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the watch.
func (b *Bare) Close() { b.w.Stop() }
