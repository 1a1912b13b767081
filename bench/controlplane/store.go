// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"net"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Store writes objects into etcd as the API server would have, without asking it.
// Measurements fill a cluster with it: the API server needs 20 ms of processor for each
// Service, most of them for the ClusterIP. Nobody checks the objects, so they must be
// complete. Watchers see them as they see all others.
type Store struct {
	client *clientv3.Client
	codec  *protobuf.Serializer
}

// txnSize is how many writes etcd takes in one transaction (--max-txn-ops is 128).
const txnSize = 120

// Store opens the way to etcd. The caller closes it.
func (p *Plane) Store(ctx context.Context) (*Store, error) {
	client, err := p.etcdClient(ctx)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, codec: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}, nil
}

// Close ends the connection.
func (s *Store) Close() error { return s.client.Close() }

// Put creates or replaces objects.
func (s *Store) Put(ctx context.Context, objects ...runtime.Object) error {
	var ops []clientv3.Op
	for i, o := range objects {
		key, gvk, err := place(o)
		if err != nil {
			return err
		}
		o.GetObjectKind().SetGroupVersionKind(gvk)
		var data bytes.Buffer
		if err := s.codec.Encode(o, &data); err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		ops = append(ops, clientv3.OpPut(key, data.String()))
		if len(ops) == txnSize || i == len(objects)-1 {
			if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
				return fmt.Errorf("write %s and what comes before it: %w", key, err)
			}
			ops = ops[:0]
		}
	}
	return nil
}

// Clear deletes the Services and EndpointSlices of a namespace whose names begin with
// name, and the IPAddresses that begin with address.
func (s *Store) Clear(ctx context.Context, namespace, name, address string) error {
	for _, key := range []string{serviceKeys + namespace + "/" + name, sliceKeys + namespace + "/" + name, addressKeys + address} {
		if _, err := s.client.Delete(ctx, key, clientv3.WithPrefix()); err != nil {
			return fmt.Errorf("delete %s*: %w", key, err)
		}
	}
	return nil
}

// ClearNodes deletes the Nodes whose names begin with name.
func (s *Store) ClearNodes(ctx context.Context, name string) error {
	if _, err := s.client.Delete(ctx, nodeKeys+name, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("delete %s%s*: %w", nodeKeys, name, err)
	}
	return nil
}

// Where the API server keeps kinds of objects.
const (
	serviceKeys = "/registry/services/specs/"
	sliceKeys   = "/registry/endpointslices/"
	addressKeys = "/registry/ipaddresses/"
	nodeKeys    = "/registry/minions/"
)

func place(o runtime.Object) (key string, gvk schema.GroupVersionKind, err error) {
	switch o := o.(type) {
	case *corev1.Service:
		return serviceKeys + o.Namespace + "/" + o.Name, corev1.SchemeGroupVersion.WithKind("Service"), nil
	case *discoveryv1.EndpointSlice:
		return sliceKeys + o.Namespace + "/" + o.Name, discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), nil
	case *networkingv1.IPAddress:
		return addressKeys + o.Name, networkingv1.SchemeGroupVersion.WithKind("IPAddress"), nil
	case *corev1.Node:
		return nodeKeys + o.Name, corev1.SchemeGroupVersion.WithKind("Node"), nil
	}
	return "", gvk, fmt.Errorf("store %T: no place is known for it", o)
}

func (p *Plane) etcdClient(ctx context.Context) (*clientv3.Client, error) {
	endpoint := "127.0.0.1:" + etcdPort
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"http://" + endpoint},
		Context:   ctx,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return p.dial(ctx, endpoint)
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("reach etcd: %w", err)
	}
	return client, nil
}
