// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"fairlead/proxier/store"
)

// After a failure a kind is asked for again after retryFirst, then after twice as long
// each time up to retryMost, and each time up to twice as much by chance, so that the
// nodes of a cluster do not all come at once. The delays are those of client-go. It forgets
// failures after two quiet minutes, which makes the second of two short absences of a
// server cost ten seconds; here, a watch that lasted for steady suffices.
const (
	retryFirst = 800 * time.Millisecond
	retryMost  = 30 * time.Second
	steady     = 10 * time.Second
)

// answers tells the reflectors of all kinds that the API server answered one of them. The
// zero value is ready to use.
type answers struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that is closed at the next answer.
func (a *answers) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

// note wakes those that wait.
func (a *answers) note() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}

// reflector follows one kind of objects.
type reflector struct {
	*cache.Reflector
	source  string
	mirror  *mirror
	answers *answers
	delay   time.Duration // before the next attempt, without chance
}

// runReflector follows one kind until ctx ends.
func runReflector(ctx context.Context, source string, lw cache.ListerWatcher, store *store.Store, all *answers) {
	m := &mirror{source: source, store: store, answers: all}
	r := &reflector{
		Reflector: cache.NewReflectorWithOptions(lw, nil, m, cache.ReflectorOptions{Name: source, TypeDescription: source}),
		source:    source, mirror: m, answers: all, delay: retryFirst,
	}
	for r.once(ctx) {
	}
}

// once lists and watches until that fails, and waits. It returns false when ctx is done.
//
// A kind that the server did not answer is asked for at once when another kind gets an
// answer. A kind that was answered waits in any case: otherwise a server that answers
// lists and ends watches would be asked all the time.
func (r *reflector) once(ctx context.Context) bool {
	r.mirror.listed = time.Time{}
	if err := r.ListAndWatchWithContext(ctx); err != nil {
		r.report(ctx, err)
	}
	var woken <-chan struct{}
	listed := r.mirror.listed
	if listed.IsZero() {
		woken = r.answers.wait()
	} else if time.Since(listed) >= steady {
		r.delay = retryFirst
	}
	delay := r.delay + time.Duration(rand.Float64()*float64(r.delay)) //nolint:gosec // chance, not a secret
	r.delay = min(2*r.delay, retryMost)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-woken:
	}
	return ctx.Err() == nil
}

// report logs why a kind could not be listed or watched, unless that happens in the
// ordinary course of things.
func (r *reflector) report(ctx context.Context, err error) {
	log := klog.FromContext(ctx)
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), errors.Is(err, io.EOF):
		log.V(4).Info("Watch ended, listing again", "reflector", r.source, "err", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		log.V(1).Info("Watch ended, listing again", "reflector", r.source, "err", err)
	default:
		log.Error(err, "Failed to list or watch, retrying", "reflector", r.source)
	}
}
