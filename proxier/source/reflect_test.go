// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"fairlead/proxier/store"
)

// fakeKind is a kind of an API server that can be away.
type fakeKind struct {
	away     atomic.Bool
	attempts atomic.Int64 // to list
	watch    atomic.Pointer[watch.FakeWatcher]
}

func (f *fakeKind) listWatch() cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			f.attempts.Add(1)
			if f.away.Load() {
				return nil, errors.New("away")
			}
			return &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil) // list instead
			}
			if f.away.Load() {
				return nil, errors.New("away")
			}
			w := watch.NewFake()
			f.watch.Store(w)
			return w, nil
		},
	}
}

// leave ends the watch and refuses everything.
func (f *fakeKind) leave() {
	f.away.Store(true)
	f.watch.Load().Stop()
}

// follow runs reflectors of some kinds until the test ends.
func follow(t *testing.T, kinds ...*fakeKind) {
	t.Helper()
	st := store.New()
	var all answers
	for _, f := range kinds {
		st.Expect(sourceNodes)
		go runReflector(t.Context(), sourceNodes, f.listWatch(), st, &all)
	}
	synctest.Wait()
}

// TestRetryAfterAnswer: when one kind reaches the server again, so do all others at once,
// however long they would have waited.
func TestRetryAfterAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := []*fakeKind{{}, {}, {}, {}, {}}
		follow(t, kinds...)
		for _, f := range kinds {
			f.leave()
		}
		time.Sleep(10 * time.Minute)
		for _, f := range kinds {
			f.away.Store(false)
			f.attempts.Store(0)
		}
		reached := func() (n int) {
			for _, f := range kinds {
				n += int(f.attempts.Load())
			}
			return n
		}
		for range 2 * int(retryMost/time.Millisecond) {
			if reached() > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := reached(); n != len(kinds) {
			t.Errorf("one kind was answered, and %d of %d are there", n, len(kinds))
		}
	})
}

// TestRetryStorm: a server that answers lists and ends watches is asked less and less
// often, and one kind's answers do not make other kinds ask more.
func TestRetryStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := []*fakeKind{{}, {}, {}, {}, {}}
		follow(t, kinds...)
		for range 3 * 60 * 10 {
			for _, f := range kinds {
				f.watch.Load().Stop()
			}
			time.Sleep(100 * time.Millisecond)
		}
		for i, f := range kinds {
			// 0.8 s doubles to 30 s in six attempts, which take 50 s at least.
			if n := f.attempts.Load(); n > 6+180/30+1 || n < 6 {
				t.Errorf("kind %d was listed %d times in three minutes", i, n)
			}
		}
	})
}

// TestRetryAfterSteadyWatch: a server that goes away now and then is asked again within
// the first delay.
func TestRetryAfterSteadyWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeKind{}
		follow(t, f)
		for i := range 10 {
			time.Sleep(steady)
			before := f.attempts.Load()
			f.leave()
			synctest.Wait()
			f.away.Store(false)
			time.Sleep(2 * retryFirst)
			synctest.Wait()
			if n := f.attempts.Load() - before; n != 1 {
				t.Errorf("absence %d: %d attempts within %s", i, n, 2*retryFirst)
			}
		}
	})
}

// TestRetryEnds: a reflector that waits ends with its context.
func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeKind{}
		f.away.Store(true)
		done := make(chan struct{})
		go func() {
			runReflector(ctx, sourceNodes, f.listWatch(), store.New(), new(answers))
			close(done)
		}()
		time.Sleep(time.Minute)
		start := time.Now()
		cancel()
		<-done
		if took := time.Since(start); took > 0 {
			t.Errorf("it ended after %s", took)
		}
	})
}
