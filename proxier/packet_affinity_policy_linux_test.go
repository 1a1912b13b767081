// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestPacketAffinityPolicy switches the policy and the endpoints of a sticky Service
// while its clients come again and again. Each client gets an endpoint that a new
// client would get, and keeps it from then on.
func TestPacketAffinityPolicy(t *testing.T) {
	t.Parallel()
	b, here2, _ := newPairBed(t)
	clients := b.clients(t)
	cluster := func(*corev1.Service) {}
	for _, step := range []struct {
		name    string
		policy  func(*corev1.Service)
		members []member
		want    string // who answers clients from outside
		pods    string // who answers pods of the node at addresses for the outside
	}{
		{"cluster", cluster, []member{ready(b.there)}, "there m", "there m"},
		{"local, with an endpoint here", externalLocal, []member{ready(b.there), ready(b.here)}, "here -", "there -"},
		{"local, drains here", externalLocal, []member{ready(b.there), draining(b.here)}, "here -", "there -"},
		{"local, another one here", externalLocal, []member{ready(b.there), draining(b.here), ready(here2)}, "here2 -", "there -"},
		{"cluster, drains here", cluster, []member{ready(b.there), draining(b.here)}, "there m", "there m"},
		{"cluster, drains there", cluster, []member{draining(b.there), ready(b.here)}, "here m", "here m"},
		{"local again, the same endpoints", externalLocal, []member{draining(b.there), ready(b.here)}, "here -", "here -"},
		{"local, nobody here", externalLocal, []member{ready(b.there)}, "timeout", "there -"},
		{"cluster, nobody here", cluster, []member{ready(b.there)}, "there m", "there m"},
		{"local, here again", externalLocal, []member{ready(b.there), ready(here2)}, "here2 -", "there -"},
	} {
		t.Run(step.name, func(t *testing.T) {
			stop := b.keepDialling(t, clients)
			b.apply(t, append(sliceObjects(1, step.members...), serviceObject(1, sticky(0), step.policy))...)
			stop()
			for family := range ipFamilies {
				for _, kind := range []string{"NodePort", "LB VIP", "external IP"} {
					to := b.frontend(kind, 1, family)
					if step.want == "timeout" {
						b.expect(t, b.external(), to, step.want)
					} else {
						waitFor(t, fmt.Sprintf("%s answers at %s", step.want, to), func() bool {
							return distinct(b.endpointsOfClients(t, clients, to)) == step.want
						})
						b.stays(t, clients, to, slices.Repeat([]string{step.want}, crowd))
					}
					waitFor(t, fmt.Sprintf("%s answers the pod at %s", step.pods, to), func() bool {
						return b.dial(t.Context(), b.pod(), to) == step.pods
					})
				}
				to := b.frontend("ClusterIP", 1, family)
				name, _, _ := strings.Cut(step.pods, " ")
				waitFor(t, fmt.Sprintf("%s answers the pod at %s", name, to), func() bool {
					return b.dial(t.Context(), b.pod(), to) == name+" -"
				})
			}
		})
	}
}

// keepDialling has some clients dial until stop is called, so that what they are
// remembered with is read and written while it changes.
func (b *bed) keepDialling(t *testing.T, clients []origin) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var all sync.WaitGroup
	for i, c := range clients[:6] {
		to := b.frontend([]string{"NodePort", "LB VIP", "external IP"}[i/2], 1, i%2)
		all.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					b.probe(t.Context(), c, to, "timeout") // within the time of silence
				}
			}
		})
	}
	return func() {
		close(end)
		all.Wait()
	}
}
