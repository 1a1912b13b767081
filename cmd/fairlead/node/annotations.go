// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"fairlead/internal/worker"
)

// annotationInterval is the time between two checks of this Node's annotations. The
// watch must show a written annotation within annotationRetry, otherwise it is written
// again.
const (
	annotationInterval = time.Second
	annotationRetry    = 10 * time.Second
)

// keepAnnotations keeps the annotations that wanted returns on this Node while wanted
// reports them missing, until ctx is done. It begins when the data path is ready,
// because peers send at once. It needs the verb patch on nodes/status, as flannel does.
// consequence completes the sentence "annotations are missing, so ...".
func (n *Network) keepAnnotations(ctx context.Context, client kubernetes.Interface, consequence string, wanted func() (map[string]string, bool)) error {
	if !worker.Await(ctx, readyInterval, n.podsReady) {
		return nil
	}
	tick := time.NewTicker(annotationInterval)
	defer tick.Stop()
	var written map[string]string
	var at time.Time
	for {
		want, missing := wanted()
		if missing && (!maps.Equal(want, written) || time.Since(at) > annotationRetry) {
			written, at = want, time.Now()
			if err := patchAnnotations(ctx, client, n.proxy.NodeName, want); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Failed to write annotations of this Node, so "+consequence+"; retrying", "retryIn", annotationRetry)
			} else if err == nil {
				klog.FromContext(ctx).Info("Wrote annotations of this Node", "annotations", want)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// patchAnnotations writes annotations of a Node. It removes those without a value.
func patchAnnotations(ctx context.Context, client kubernetes.Interface, node string, annotations map[string]string) error {
	values := make(map[string]any, len(annotations))
	for name, value := range annotations {
		if values[name] = value; value == "" {
			values[name] = nil
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": values}})
	if err != nil {
		return fmt.Errorf("encode annotations of Node: %w", err)
	}
	if _, err := client.CoreV1().Nodes().PatchStatus(ctx, node, patch); err != nil {
		return fmt.Errorf("write annotations of Node %s: %w", node, err)
	}
	return nil
}
