// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fairlead/internal/lab"
)

// unlikely is the p value below which a spread counts as uneven. A fair one
// falls below it once in ten thousand demos.
const unlikely = 1e-4

// stepSpread makes many connections and asks whether their spread could be
// chance.
func stepSpread(ctx context.Context, d *demo) error {
	const connections = 2000
	counts, err := d.count(ctx, d.Client.Host, connections)
	if err != nil {
		return err
	}
	d.say("%d connections from client to the ClusterIPs, each to be answered by a pod of its choice:", connections)
	d.chart(counts)
	x, p := chiSquared(slices.Collect(maps.Values(counts)), len(d.Web.Endpoints))
	d.check(len(counts) == len(d.Web.Endpoints) && p > unlikely, "chi-squared %.2f, p = %.3f: an even spread looks like this", x, p)
	return nil
}

// count dials web n times, over the families in turn, and returns how often each
// pod answered.
func (d *demo) count(ctx context.Context, from *lab.Host, n int) (map[string]int, error) {
	counts := map[string]int{}
	for i := range n {
		vip := d.Web.ClusterIPs[i%len(d.Web.ClusterIPs)]
		reply, err := from.Dial(ctx, d.Web.At(vip))
		if err != nil {
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		counts[reply.Server]++
	}
	return counts, nil
}

// chart draws a bar for each pod.
func (d *demo) chart(counts map[string]int) {
	const width = 40
	total, most := 0, 1
	for _, n := range counts {
		total += n
		most = max(most, n)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n := counts[name]
		d.say("  %-8s %5d  %4.1f %%  %s", name, n, 100*float64(n)/float64(total), strings.Repeat("█", n*width/most))
	}
}

// chiSquared tests counts for being draws from k equally likely outcomes. It
// returns the statistic and the probability of one as large by chance.
func chiSquared(counts []int, k int) (x, p float64) {
	total := 0
	for _, n := range counts {
		total += n
	}
	expected := float64(total) / float64(k)
	x = float64(k-len(counts)) * expected // outcomes that never came
	for _, n := range counts {
		x += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	return x, chiSquaredTail(x, k-1)
}

// chiSquaredTail is the upper tail of the distribution with f degrees of
// freedom, by the recurrence from f to f+2 (Abramowitz and Stegun, 26.4.8).
func chiSquaredTail(x float64, f int) float64 {
	if f < 1 {
		return 1
	}
	p, n := math.Erfc(math.Sqrt(x/2)), 1
	if f%2 == 0 {
		p, n = math.Exp(-x/2), 2
	}
	for ; n < f; n += 2 {
		half := float64(n) / 2
		gamma, _ := math.Lgamma(half + 1)
		p += math.Exp(half*math.Log(x/2) - x/2 - gamma)
	}
	return p
}
