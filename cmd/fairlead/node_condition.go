// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// Retries of the Node's condition, doubled from the first to the last.
const (
	firstCondition = time.Second
	lastCondition  = time.Minute
)

// sayAvailable takes the condition NetworkUnavailable back, with which some cloud
// providers keep pods off a node until its network is there, as flannel does. It
// does so once, when a pod's first packet would find everything in place. Needs
// the verb patch on nodes/status.
func sayAvailable(ctx context.Context, client kubernetes.Interface, node string, ready func() bool) error {
	if !await(ctx, ready) {
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
		klog.FromContext(ctx).Error(err, "The Node's condition NetworkUnavailable stays as it is; trying again", "retryIn", wait)
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
