// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/inet"
)

// fewest is how many endpoints a Service keeps.
const fewest = 2

// service is a Service whose endpoints change.
type service struct {
	mu sync.Mutex
	world.Service
	left map[string]time.Duration // pods that were behind it, and when they left
}

func (s *service) proto() inet.Proto { return s.At(s.ClusterIPs[0]).Proto }

// forget makes the members that there are the ones that count, at the start of a round.
func (s *service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.left {
		s.left[name] = 0
	}
}

// leftAt returns when a pod left the Service, and whether it is away now.
func (s *service) leftAt(name string) (at time.Duration, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, was := s.left[name]
	used := slices.ContainsFunc(s.Endpoints, func(e world.Endpoint) bool { return e.Pod.Name == name && !e.Terminating })
	return at, was && !used
}

// toggle makes one pod of the pool join or leave, and returns what it did.
func (s *service) toggle(e world.Endpoint, terminate bool, now time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready := 0
	for _, o := range s.Endpoints {
		if !o.Terminating {
			ready++
		}
	}
	i := slices.IndexFunc(s.Endpoints, func(o world.Endpoint) bool { return o.Pod == e.Pod })
	switch {
	case i < 0:
		s.Endpoints = append(slices.Clone(s.Endpoints), e)
		return e.Pod.Name + " joins " + s.Name
	case s.Endpoints[i].Terminating:
		s.Endpoints = slices.Delete(slices.Clone(s.Endpoints), i, i+1)
		return e.Pod.Name + " is removed from " + s.Name
	case ready <= fewest:
		return s.Name + " keeps " + e.Pod.Name
	}
	s.left[e.Pod.Name] = now
	s.Endpoints = slices.Clone(s.Endpoints)
	if terminate {
		s.Endpoints[i].Terminating = true
		return e.Pod.Name + " terminates in " + s.Name
	}
	s.Endpoints = slices.Delete(s.Endpoints, i, i+1)
	return e.Pod.Name + " leaves " + s.Name
}

// churn changes the endpoints of a Service.
func (r *runner) churn(s chaos.Step) (string, error) {
	svc := r.services[s.Pick%uint64(len(r.services))]
	pick := s.Pick / uint64(len(r.services))
	pod := r.pool[pick%poolSize]
	what := svc.toggle(pod, svc.proto() == inet.TCP && pick/poolSize%2 == 0, r.now())
	svc.mu.Lock()
	text := svc.Manifest()
	svc.mu.Unlock()
	return what, r.api.Apply(text)
}

// extra adds a Service that nobody uses, or removes it.
func (r *runner) extra(s chaos.Step) (string, error) {
	const first, span = 100, 100 // of the last byte of ClusterIPs
	name := fmt.Sprintf("extra-%d", s.Event)
	if !s.Begin {
		for _, family := range []string{"ipv4", "ipv6"} {
			r.api.Remove("endpointslices", "default", name+"-"+family)
		}
		r.api.Remove("services", "default", name)
		return name + " is removed", nil
	}
	n := int(s.Pick % poolSize)
	svc := world.Service{
		Name: name, Port: 80, TargetPort: world.WebPort, ClusterIPs: world.VIPs(r.Cluster.Config, first+s.Event%span),
		Sticky: n%2 == 0, Endpoints: r.pool[:n],
	}
	return fmt.Sprintf("%s is added, %d endpoints", name, n), r.api.Apply(svc.Manifest())
}
