// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

const (
	namespace = "default"
	port      = 80
	podPort   = 8080
	parallel  = 16 // requests at once while the cluster is filled
)

// manyNet are the addresses of all endpoints but those of probe.
var manyNet = netip.MustParsePrefix("10.128.0.0/11")

// site is what one node has: a client, and the servers of all Services.
type site struct {
	client      *lab.Pod
	left, right *lab.Pod
}

// world is what the API server says there is.
type world struct {
	api   kubernetes.Interface
	vips  []inet.Addr // of the Services in their order
	probe inet.Addr
	sites []site
}

func newWorld(t *testing.T, b *bench) *world {
	t.Helper()
	w := &world{api: b.plane.Client()}
	for _, n := range b.Nodes {
		w.sites = append(w.sites, newSite(t, n))
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec:       corev1.NodeSpec{PodCIDR: n.PodCIDRs[0].String(), PodCIDRs: []string{n.PodCIDRs[0].String()}},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Addr4.String()}}},
		}
		if _, err := w.api.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.fill(t)
	w.probe = w.create(t, t.Context(), "probe", w.sites[0].left.Addr4)
	return w
}

// newSite makes the pods of a node. The addresses of all endpoints lead to one
// of them, which takes every packet for them as its own.
func newSite(t *testing.T, n *lab.Node) site {
	t.Helper()
	s := site{client: labtest.Pod(t, n, "client", 0)}
	s.left = labtest.Pod(t, n, "left", podPort, inet.TCP)
	s.right = labtest.Pod(t, n, "right", podPort, inet.TCP)
	many := labtest.Pod(t, n, "many", 0)
	if err := n.SetRoute(manyNet, many.Addr4, many.Device()); err != nil {
		t.Fatal(err)
	}
	lo, err := many.Netlink().LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	_, all, err := net.ParseCIDR(manyNet.String())
	if err != nil {
		t.Fatal(err)
	}
	own := &netlink.Route{Dst: all, LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST}
	if err := many.Netlink().RouteAdd(own); err != nil {
		t.Fatal(err)
	}
	if _, err := many.ServeAs("many", inet.TCP, podPort, netip.IPv4Unspecified()); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill creates the Services with their slices.
func (w *world) fill(t *testing.T) {
	t.Helper()
	w.vips = make([]inet.Addr, *services)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(parallel)
	next := manyNet.Addr()
	for i := range w.vips {
		addrs := make([]netip.Addr, *backends)
		for j := range addrs {
			next = next.Next()
			addrs[j] = next
		}
		group.Go(func() (err error) {
			w.vips[i], err = w.put(ctx, fmt.Sprintf("service-%05d", i), addrs...)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) create(t *testing.T, ctx context.Context, name string, addrs ...netip.Addr) inet.Addr {
	t.Helper()
	vip, err := w.put(ctx, name, addrs...)
	if err != nil {
		t.Fatal(err)
	}
	return vip
}

// put creates a Service with endpoints at addrs.
func (w *world) put(ctx context.Context, name string, addrs ...netip.Addr) (inet.Addr, error) {
	s, err := w.api.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: port}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return inet.Addr{}, err
	}
	_, err = w.api.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice(name, addrs...), metav1.CreateOptions{})
	if err != nil {
		return inet.Addr{}, err
	}
	ip, err := netip.ParseAddr(s.Spec.ClusterIP)
	return inet.Addr{IP: ip, Port: port, Proto: inet.TCP}, err
}

func slice(service string, addrs ...netip.Addr) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](podPort), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{a.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
		})
	}
	return s
}

// point makes a pod the only endpoint of probe.
func (w *world) point(ctx context.Context, at *lab.Pod) error {
	_, err := w.api.DiscoveryV1().EndpointSlices(namespace).Update(ctx, slice("probe", at.Addr4), metav1.UpdateOptions{})
	return err
}
