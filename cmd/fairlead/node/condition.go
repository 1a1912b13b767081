// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fairlead/internal/worker"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// The delay between two attempts doubles from the first to the last.
const (
	firstCondition = time.Second
	lastCondition  = time.Minute
)

// setAvailable sets the Node's condition NetworkUnavailable to False once ready
// returns true, then returns. Some cloud providers keep pods off a node until then.
// flannel does the same. It needs the verb patch on nodes/status.
func setAvailable(ctx context.Context, client kubernetes.Interface, node string, ready func() bool) error {
	if !worker.Await(ctx, readyInterval, ready) {
		return nil
	}
	patch, err := availablePatch(time.Now())
	if err != nil {
		return err
	}
	for wait := firstCondition; ; wait = min(2*wait, lastCondition) {
		_, err := client.CoreV1().Nodes().PatchStatus(ctx, node, patch)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		klog.FromContext(ctx).Error(err, "Failed to set the Node's condition NetworkUnavailable to False, retrying", "retryIn", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func availablePatch(now time.Time) ([]byte, error) {
	at := metav1.NewTime(now)
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{{
		Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionFalse,
		Reason: "FairleadIsUp", Message: "fairlead is running on this node",
		LastTransitionTime: at, LastHeartbeatTime: at,
	}}}})
	if err != nil {
		return nil, fmt.Errorf("encode condition of the Node: %w", err)
	}
	return patch, nil
}
