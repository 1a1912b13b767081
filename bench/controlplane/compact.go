// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Compact makes etcd forget all revisions but the newest, as kube-apiserver has
// it do every five minutes. It returns the newest.
func (p *Plane) Compact(ctx context.Context) (revision int64, err error) {
	client, err := p.etcdClient(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.Close() }()
	got, err := client.Get(ctx, "/registry/none")
	if err != nil {
		return 0, fmt.Errorf("ask etcd for its revision: %w", err)
	}
	revision = got.Header.Revision
	if _, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		return 0, fmt.Errorf("compact etcd: %w", err)
	}
	return revision, nil
}

// Age makes etcd's revision grow by n, as many changes of objects do that no agent watches.
func (p *Plane) Age(ctx context.Context, n int) error {
	client, err := p.etcdClient(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for range n {
		if _, err := client.Put(ctx, "/aged", ""); err != nil {
			return fmt.Errorf("write to etcd: %w", err)
		}
	}
	return nil
}
