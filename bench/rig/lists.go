// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Lists asks for all Services and EndpointSlices as an agent does at its start, over a
// connection of its own, and reads them without decoding any. It returns how long the API
// server takes to deliver them: no agent can know them before.
func (r *Rig) Lists(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	client, err := kubernetes.NewForConfig(r.Plane.Admin())
	if err != nil {
		return 0, err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return list(ctx, client.CoreV1().RESTClient(), "services", "!service.kubernetes.io/service-proxy-name")
	})
	all.Go(func() error {
		return list(ctx, client.DiscoveryV1().RESTClient(), "endpointslices", "!"+corev1.IsHeadlessService)
	})
	if err := all.Wait(); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

// list reads the events of a streamed list (KEP-3157) in Protobuf, up to the bookmark that
// ends it.
func list(ctx context.Context, client rest.Interface, resource, labels string) (err error) {
	options := metav1.ListOptions{
		Watch: true, LabelSelector: labels, AllowWatchBookmarks: true, SendInitialEvents: new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	}
	stream, err := client.Get().Resource(resource).VersionedParams(&options, scheme.ParameterCodec).
		SetHeader("Accept", Encodings()["Protobuf"]).Stream(ctx)
	if err != nil {
		return fmt.Errorf("list %s: %w", resource, err)
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	events := bufio.NewReaderSize(stream, 1<<16)
	var event []byte
	for !bytes.Contains(event, []byte(metav1.InitialEventsAnnotationKey)) {
		var length [4]byte
		if _, err := io.ReadFull(events, length[:]); err != nil {
			return fmt.Errorf("list %s: read length of an event: %w", resource, err)
		}
		n := int(binary.BigEndian.Uint32(length[:]))
		event = append(event[:0], make([]byte, n)...)
		if _, err := io.ReadFull(events, event); err != nil {
			return fmt.Errorf("list %s: read event of %d bytes: %w", resource, n, err)
		}
	}
	return nil
}
