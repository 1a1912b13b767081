// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"
)

// rewatch finds out whether the versions of an API server went back while a watch was interrupted,
// because a backup of etcd was restored (etcd issue 16028). A server accepts a watch from a version
// of its future, and is silent until it gets there. client-go goes on with the last version after a
// connection that was lost or refused, so it would hear nothing of the restored objects. One
// reflector uses a rewatch, so it needs no lock.
type rewatch struct {
	ends time.Time // when the latest watch ends by itself
}

// early is how much earlier than it has to a server may end a watch that is not interrupted.
const early = time.Second

// check is called before each watch. It returns an error by which the reflector lists again if the
// server's version is older than the one to watch from. It asks for the version only if the watch
// before was interrupted.
func (w *rewatch) check(ctx context.Context, o *metav1.ListOptions, list func(context.Context, metav1.ListOptions) (runtime.Object, error)) error {
	now, last := time.Now(), w.ends
	w.ends = now.Add(time.Hour) // a watch without a time has no such end
	if o.TimeoutSeconds != nil {
		w.ends = now.Add(time.Duration(*o.TimeoutSeconds) * time.Second)
	}
	if !now.Before(last.Add(-early)) || o.SendInitialEvents != nil || o.ResourceVersion == "" {
		return nil
	}
	one, err := list(ctx, metav1.ListOptions{Limit: 1}) // without a version: not from a cache
	if err != nil {
		return err
	}
	m, err := meta.ListAccessor(one)
	if err != nil {
		return fmt.Errorf("read the version of the API server: %w", err)
	}
	server := m.GetResourceVersion()
	if order, err := resourceversion.CompareResourceVersion(server, o.ResourceVersion); err != nil || order >= 0 {
		return nil //nolint:nilerr // a server without versions of this form cannot be judged
	}
	klog.FromContext(ctx).Info("The versions of the API server went back, as after a restore of etcd, listing again", "last", o.ResourceVersion, "server", server)
	return apierrors.NewResourceExpired("the versions of the API server went back")
}
