// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"fairlead/cmd/fairlead/reach/plan"
)

// labelKey marks everything that a test makes.
const (
	labelKey   = "app.kubernetes.io/part-of"
	labelValue = "fairlead-test"
	selector   = labelKey + "=" + labelValue
)

// claimName is the ConfigMap that says that a test is under way. Its owner writes it
// again and again; one that stays the same is what a killed test left.
const (
	claimName = plan.Prefix + "run"
	beat      = 5 * time.Second
	stale     = 4 * beat
)

func labels(more map[string]string) map[string]string {
	out := map[string]string{labelKey: labelValue}
	maps.Copy(out, more)
	return out
}

// claim makes the namespace its own, and removes what an earlier test left in it.
func (t *test) claim(ctx context.Context) error {
	if err := t.makeNamespace(ctx); err != nil {
		return err
	}
	maps := t.api.CoreV1().ConfigMaps(t.opts.Namespace)
	for {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: claimName, Labels: labels(nil)}}, metav1.CreateOptions{})
		if err == nil {
			t.claimed = true
			return t.clear(ctx, false)
		}
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("begin in namespace %s: %w", t.opts.Namespace, err)
		}
		if err := t.awaitStale(ctx); err != nil {
			return err
		}
	}
}

// awaitStale returns nil when the claim of another test is gone.
func (t *test) awaitStale(ctx context.Context) error {
	maps := t.api.CoreV1().ConfigMaps(t.opts.Namespace)
	t.say("Another test used namespace %s; waiting %s to see whether it still runs", t.opts.Namespace, stale)
	old, err := maps.Get(ctx, claimName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-time.After(t.stale):
	case <-ctx.Done():
		return ctx.Err()
	}
	now, err := maps.Get(ctx, claimName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if now.ResourceVersion != old.ResourceVersion {
		return fmt.Errorf("another test runs in namespace %s: wait for its end, or set --namespace", t.opts.Namespace)
	}
	t.say("It does not; removing what it left")
	err = maps.Delete(ctx, claimName, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &now.UID, ResourceVersion: &now.ResourceVersion}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// beat renews the claim until ctx is done.
func (t *test) beat(ctx context.Context) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	maps := t.api.CoreV1().ConfigMaps(t.opts.Namespace)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
				c, err := maps.Get(ctx, claimName, metav1.GetOptions{})
				if err != nil {
					return err
				}
				c.Data = map[string]string{"time": now.UTC().Format(time.RFC3339)}
				_, err = maps.Update(ctx, c, metav1.UpdateOptions{})
				return err
			})
			if apierrors.IsNotFound(err) {
				return errors.New("another test took the namespace over, or somebody removed it")
			}
		}
	}
}

// makeNamespace makes the namespace unless it exists. It may be removed at the end if a
// test made it.
func (t *test) makeNamespace(ctx context.Context) error {
	spaces := t.api.CoreV1().Namespaces()
	for {
		have, err := spaces.Get(ctx, t.opts.Namespace, metav1.GetOptions{})
		switch {
		case apierrors.IsForbidden(err) && t.opts.Namespace != DefaultNamespace:
			return nil // it must exist; else the first object says that it does not
		case apierrors.IsNotFound(err):
			_, err = spaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: t.opts.Namespace,
				// Pods in the network of their node need this level.
				Labels: labels(map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}),
			}}, metav1.CreateOptions{})
			if err == nil {
				t.ownSpace = true
				return nil
			}
			if !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("make namespace %s: %w", t.opts.Namespace, err)
			}
		case err != nil:
			return fmt.Errorf("find namespace %s: %w", t.opts.Namespace, err)
		case have.DeletionTimestamp == nil:
			t.ownSpace = have.Labels[labelKey] == labelValue
			return nil
		}
		if err := pause(ctx); err != nil { // until an earlier one is gone
			return fmt.Errorf("wait for the end of namespace %s: %w", t.opts.Namespace, err)
		}
	}
}

// pause waits between two looks at objects.
func pause(ctx context.Context) error {
	select {
	case <-time.After(500 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
