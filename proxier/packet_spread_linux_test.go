// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestPacketSpread counts connections per endpoint, where their number fills the
// size class and where it does not, on the way up and on the way down.
func TestPacketSpread(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	const first = 9000
	slice := func(i int) []any { // an endpoint with a port of its own
		objects := slicesWith(1, []discoveryv1.EndpointPort{slicePort("", corev1.ProtocolTCP, int32(first+i))}, ready(b.here))
		for _, obj := range objects {
			obj.(*discoveryv1.EndpointSlice).Name += fmt.Sprint("-", i)
		}
		return objects
	}
	b.apply(t, serviceObject(1))
	have := 0
	for i := range 8 {
		_, err := b.here.ServeAs(fmt.Sprint(i), inet.TCP, uint16(first+i), b.here.Addrs()...)
		check(t, err)
	}
	for _, n := range []int{2, 5, 8, 3, 1} {
		for ; have < n; have++ {
			b.apply(t, slice(have)...)
		}
		for ; have > n; have-- {
			b.remove(t, slice(have-1)...)
		}
		for family, name := range ipFamilies {
			counts := map[string]int{}
			each := nstest.Size(100, 20)
			for range n * each {
				counts[b.dial(t.Context(), b.pod(), b.frontend("ClusterIP", 1, family))]++
			}
			// Pearson's test; above 40 lies less than one in 800,000 for 7 degrees of
			// freedom, and fewer for fewer.
			chi := 0.0
			for _, count := range counts {
				chi += float64((count-each)*(count-each)) / float64(each)
			}
			if len(counts) != n || chi > 40 {
				t.Errorf("%d endpoints, %s: %v", n, name, counts)
			}
		}
	}
}
