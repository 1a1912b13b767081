// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// removal is the time for removing everything at the end.
const removal = time.Minute

// remove deletes what the test made, and waits until it is gone. It works on after ctx is
// done, for a minute.
func (t *test) remove(ctx context.Context) error {
	if !t.claimed || t.opts.Keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removal)
	defer cancel()
	t.say("Removing the objects of the test")
	err := t.clear(ctx, true)
	if t.ownSpace {
		err = errors.Join(err, t.removeNamespace(ctx))
	}
	if err != nil {
		return fmt.Errorf("remove the objects of the test: %w; the next test tries again, or delete what has the label %s in namespace %s", err, selector, t.opts.Namespace)
	}
	return nil
}

// clear deletes all labelled objects of the namespace, the claim only if it is set, and
// waits until the pods are gone.
func (t *test) clear(ctx context.Context, claim bool) error {
	core, ns := t.api.CoreV1(), t.opts.Namespace
	list, now := metav1.ListOptions{LabelSelector: selector}, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)}
	services, err := core.Services(ns).List(ctx, list)
	if err != nil {
		return err
	}
	var errs []error
	for i := range services.Items {
		errs = append(errs, gone(core.Services(ns).Delete(ctx, services.Items[i].Name, metav1.DeleteOptions{})))
	}
	errs = append(errs, gone(core.ConfigMaps(ns).Delete(ctx, worldName, metav1.DeleteOptions{})))
	for {
		pods, err := core.Pods(ns).List(ctx, list)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil {
				errs = append(errs, gone(core.Pods(ns).Delete(ctx, pods.Items[i].Name, now)))
			}
		}
		if len(pods.Items) == 0 {
			break
		}
		if err := pause(ctx); err != nil {
			return errors.Join(append(errs, fmt.Errorf("pod %s does not end: %w", pods.Items[0].Name, err))...)
		}
	}
	if claim {
		errs = append(errs, gone(core.ConfigMaps(ns).Delete(ctx, claimName, metav1.DeleteOptions{})))
	}
	return errors.Join(errs...)
}

// removeNamespace deletes the namespace. It is empty, so that its end needs nobody's
// patience; a controller ends it.
func (t *test) removeNamespace(ctx context.Context) error {
	return gone(t.api.CoreV1().Namespaces().Delete(ctx, t.opts.Namespace, metav1.DeleteOptions{}))
}

func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
