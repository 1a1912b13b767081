// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestTallyIsWhole scrapes while values change: never fewer than there are.
func TestTallyIsWhole(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m := NewMetrics(registry.MustRegister)
	problems := map[string]int{objects.KindService: 500, objects.KindSlice: 500}
	m.Report(problems)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.Report(problems)
			}
		}
	})
	want := []string{"fairlead_problems kind=EndpointSlice 500", "fairlead_problems kind=Service 500"}
	for range 200 {
		got := slices.DeleteFunc(proxiertest.Scrape(t, registry), func(s string) bool { return !strings.HasPrefix(s, "fairlead_problems ") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
			break
		}
	}
	close(stop)
	writer.Wait()
}
