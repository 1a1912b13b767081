// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// crowd begins the names of Nodes without machines.
const crowd = "crowd-"

// Crowd creates Nodes that exist as objects only, perSecond of them, up to most. flannel
// and fairlead take them for nodes of their own kind.
func (r *Rig) Crowd(ctx context.Context, most, perSecond int) *Churn {
	const batches = 10 // per second
	return churn(ctx, time.Second/batches, perSecond/batches, func(ctx context.Context, first, n int) error {
		var objects []runtime.Object
		for i := first; i < min(first+n, most); i++ {
			objects = append(objects, crowdNode(i))
		}
		return r.store.Put(ctx, objects...)
	})
}

// NoCrowd deletes all Nodes of Crowd and waits until the API server lists none of them. flannel
// stands still if it lists more than 5,000 Nodes when it starts (EVENT_QUEUE_DEPTH).
func (r *Rig) NoCrowd(ctx context.Context) error {
	if err := r.store.ClearNodes(ctx, crowd); err != nil {
		return err
	}
	return poll(ctx, time.Minute, func() error {
		nodes, err := r.API.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"}) // from the cache
		if err != nil {
			return fmt.Errorf("list Nodes: %w", err)
		}
		for _, n := range nodes.Items {
			if strings.HasPrefix(n.Name, crowd) {
				return fmt.Errorf("list of %d Nodes: %s is still in it", len(nodes.Items), n.Name)
			}
		}
		return nil
	})
}

// crowdCIDR is the pod CIDR of the i-th node.
func crowdCIDR(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 192 + byte(i>>8), byte(i), 0}), 24)
}

func crowdNode(i int) *corev1.Node {
	addr := netip.AddrFrom4([4]byte{172, 20, byte(i >> 8), byte(i)})
	cidr := crowdCIDR(i).String()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s%05d", crowd, i), UID: uuid.NewUUID(), CreationTimestamp: metav1.Now(),
			Annotations: map[string]string{
				"flannel.alpha.coreos.com/kube-subnet-manager": "true",
				"flannel.alpha.coreos.com/backend-type":        "vxlan",
				"flannel.alpha.coreos.com/backend-data":        fmt.Sprintf(`{"VNI":1,"VtepMAC":"02:01:00:00:%02x:%02x"}`, byte(i>>8), byte(i)),
				"flannel.alpha.coreos.com/public-ip":           addr.String(),
			},
		},
		Spec:   corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr.String()}}},
	}
}

// Routed waits until the pods of the i-th node of the crowd are behind a tunnel of this
// seat.
func (s *Seat) Routed(ctx context.Context, i int, patience time.Duration) error {
	links := s.Node.Netlink()
	pod := crowdCIDR(i).Addr().Next()
	end := time.Now().Add(patience)
	for {
		routes, err := links.RouteGet(pod.AsSlice())
		if err == nil && len(routes) == 1 {
			var l netlink.Link
			if l, err = links.LinkByIndex(routes[0].LinkIndex); err == nil && l.Type() == "vxlan" {
				return nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return errors.Join(fmt.Errorf("route to node %d: %w", i, ErrLate), err)
		}
		pause(ctx, 2*time.Millisecond)
	}
}
