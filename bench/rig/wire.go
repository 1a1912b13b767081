// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"
)

// Encodings are the content types in which the API server sends objects.
func Encodings() map[string]string {
	return map[string]string{"Protobuf": "application/vnd.kubernetes.protobuf", "JSON": "application/json"}
}

const wire = "wire"

// Wire creates an EndpointSlice with n endpoints, in the form that the endpointslice controller
// gives it, changes one endpoint, and returns how many bytes of its stream the API server
// sends one watch for that, in one content type. TLS and HTTP add to them.
func (r *Rig) Wire(ctx context.Context, n int, contentType string) (bytes int, err error) {
	slices := r.API.DiscoveryV1().EndpointSlices(namespace)
	full := realSlice(n)
	made, err := slices.Create(ctx, full, metav1.CreateOptions{FieldManager: "kube-controller-manager"})
	if err != nil {
		return 0, fmt.Errorf("create EndpointSlice %s: %w", wire, err)
	}
	defer func() {
		err = errors.Join(err, slices.Delete(context.WithoutCancel(ctx), wire, metav1.DeleteOptions{}))
	}()
	options := metav1.ListOptions{Watch: true, FieldSelector: "metadata.name=" + wire, ResourceVersion: made.ResourceVersion}
	stream, err := r.API.DiscoveryV1().RESTClient().Get().Namespace(namespace).Resource("endpointslices").
		VersionedParams(&options, scheme.ParameterCodec).SetHeader("Accept", contentType).Stream(ctx)
	if err != nil {
		return 0, fmt.Errorf("watch EndpointSlice %s: %w", wire, err)
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	made.Endpoints[n/2].Conditions.Ready = new(false)
	if _, err := slices.Update(ctx, made, metav1.UpdateOptions{FieldManager: "kube-controller-manager"}); err != nil {
		return 0, fmt.Errorf("update EndpointSlice %s: %w", wire, err)
	}
	return frame(stream, contentType)
}

// frame reads one event of a watch. A frame of Protobuf begins with its length, and one of
// JSON ends with a newline.
func frame(stream io.Reader, contentType string) (int, error) {
	if contentType == Encodings()["JSON"] {
		line, err := bufio.NewReader(stream).ReadBytes('\n')
		return len(line), err
	}
	var length [4]byte
	if _, err := io.ReadFull(stream, length[:]); err != nil {
		return 0, fmt.Errorf("read length of an event: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if _, err := io.CopyN(io.Discard, stream, n); err != nil {
		return 0, fmt.Errorf("read event of %d bytes: %w", n, err)
	}
	return len(length) + int(n), nil
}

// realSlice has the fields that the endpointslice controller fills.
func realSlice(n int) *discoveryv1.EndpointSlice {
	const service = "checkout-frontend"
	s := slice(service, wire)
	s.UID, s.CreationTimestamp, s.GenerateName = "", metav1.Time{}, service+"-"
	s.Labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
	s.Labels["app.kubernetes.io/name"] = service
	s.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "Service", Name: service, UID: uuid.NewUUID(), Controller: new(true), BlockOwnerDeletion: new(true),
	}}
	for i := range n {
		node := fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", i/250, i%250)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{netip.AddrFrom4([4]byte{10, 150, byte(i >> 8), byte(i)}).String()},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			NodeName:   &node, Zone: new("eu-central-1b"),
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: namespace, Name: fmt.Sprintf("%s-7d9c6b8f4d-%05d", service, i), UID: uuid.NewUUID(),
			},
		})
	}
	return s
}
