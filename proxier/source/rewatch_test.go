// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestRewatch: the server is asked for its version before a watch only if the watch before was
// interrupted, and the reflector lists again only if that version is older than the last one.
func TestRewatch(t *testing.T) {
	const lasts = 300 // seconds
	away := errors.New("away")
	for _, tt := range []struct {
		name         string
		after        time.Duration // the watch before began
		last, server string
		failure      error
		asked        int
		expired      bool
	}{
		{"the watch ended by itself", lasts * time.Second, "100", "1", nil, 0, false},
		{"it ended a moment early", lasts*time.Second - early, "100", "1", nil, 0, false},
		{"interrupted, nothing new", time.Second, "100", "100", nil, 1, false},
		{"interrupted, newer", time.Second, "99", "100", nil, 1, false},
		{"interrupted, the server went back", time.Second, "100", "99", nil, 1, true},
		{"late, the server went back", (lasts - 2) * time.Second, "100", "99", nil, 1, true},
		{"versions without an order", time.Second, "a", "b", nil, 1, false},
		{"no version", time.Second, "", "1", nil, 0, false},
		{"the server does not answer", time.Second, "100", "", away, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w rewatch
				asked := 0
				list := func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
					if asked++; o.Limit != 1 || o.ResourceVersion != "" {
						t.Errorf("asked with %+v", o)
					}
					return &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: tt.server}}, tt.failure
				}
				seconds := int64(lasts)
				o := metav1.ListOptions{ResourceVersion: tt.last, TimeoutSeconds: &seconds}
				if err := w.check(t.Context(), &o, list); err != nil || asked != 0 {
					t.Fatalf("the first watch: %v, asked %d times", err, asked)
				}
				time.Sleep(tt.after)
				err := w.check(t.Context(), &o, list)
				if asked != tt.asked || apierrors.IsResourceExpired(err) != tt.expired || errors.Is(err, away) != (tt.failure != nil) || (err != nil) != (tt.expired || tt.failure != nil) {
					t.Errorf("%v, asked %d times", err, asked)
				}
				if tt.failure == nil {
					return
				}
				tt.failure, tt.server = nil, "99" // it is back
				if err := w.check(t.Context(), &o, list); !apierrors.IsResourceExpired(err) {
					t.Errorf("once the server answers: %v", err)
				}
			})
		})
	}
}
