// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/healthcheck"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
)

// Health answers load balancers that ask this node about Services; see
// healthcheck.Server for the contract.
type Health interface {
	Set(svc healthcheck.Name, port uint16)
	SetLocal(svc healthcheck.Name, local int)
	Delete(svc healthcheck.Name)
	Serve(on []netip.Prefix)
}

// healthPorts is the contest for healthCheckNodePorts. The API server gives each
// port to one Service; files may not.
type healthPorts struct {
	*resolve.Contest[uint16, int]                                   // the value is the number of endpoints on this node
	waiting                       map[types.NamespacedName]struct{} // to be published
	on                            []netip.Prefix
}

func newHealthPorts() *healthPorts {
	return &healthPorts{resolve.NewContest[uint16, int](nil), map[types.NamespacedName]struct{}{}, nil}
}

// settle writes down who lost a port since the last call.
func (h *healthPorts) settle(book *status.Book) {
	for _, key := range h.TakeStale() {
		h.waiting[key] = struct{}{}
		book.Set(status.ByHealthPort, objects.Key{Kind: objects.KindService, Name: key.String()}, resolve.LostHealthPorts(h.Contest, key))
	}
}

// publish passes on what changed. Ports do not wait for the kernel; the number of
// endpoints is passed on once connections reach them, as programmed says.
func (h *healthPorts) publish(to Health, programmed func(svc types.NamespacedName) bool) {
	if to == nil {
		clear(h.waiting)
		return
	}
	to.Serve(h.on)
	for key := range h.waiting {
		name := healthcheck.Name(key)
		mine := h.Of(key)
		if len(mine) == 0 || h.Owner(mine[0].Key) != mine[0] {
			to.Delete(name)
			delete(h.waiting, key)
			continue
		}
		to.Set(name, mine[0].Key)
		if programmed(key) {
			to.SetLocal(name, mine[0].Value)
			delete(h.waiting, key)
		}
	}
}

// HealthCheck notes why a Service's healthCheckNodePort cannot be served, or
// with nil that it is served again.
func HealthCheck(b *status.Book, svc healthcheck.Name, err error) {
	r := objects.NewReport(objects.KindService, svc.String())
	if err != nil {
		r.Add(objects.FieldHealthPort, "%v; tried again", err)
	}
	b.Set(status.ByHealthCheck, objects.Key{Kind: objects.KindService, Name: svc.String()}, r.Problems)
}
