// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Save keeps a copy of all that etcd has. The API server and etcd end for it, and start again.
func (p *Plane) Save(ctx context.Context) error {
	return p.exchange(ctx, "save", func(data, saved string) error {
		return errors.Join(os.RemoveAll(saved), os.CopyFS(saved, os.DirFS(data)))
	})
}

// Restore replaces all that etcd has by what Save kept, as after the loss of a disk. The versions
// of objects go back with it. Start the controllers again: unlike agents of nodes, they are told to
// (https://etcd.io/docs/v3.6/op-guide/recovery/).
func (p *Plane) Restore(ctx context.Context) error {
	return p.exchange(ctx, "restore", func(data, saved string) error {
		return errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(saved)))
	})
}

// exchange does something with the data of etcd and its copy while neither etcd nor the API server
// runs.
func (p *Plane) exchange(ctx context.Context, what string, f func(data, saved string) error) error {
	err := errors.Join(p.KillAPIServer(), p.etcd.kill())
	if err == nil {
		err = f(p.path("etcd"), p.path("etcd-saved"))
	}
	if err == nil {
		err = p.etcd.start()
	}
	if err == nil {
		err = p.StartAPIServer(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s the data of etcd: %w", what, err)
	}
	return nil
}
