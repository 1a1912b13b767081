// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Probe is the address of the Service whose endpoint an update moves.
var Probe = inet.Addr{IP: netip.MustParseAddr("10.111.0.10"), Port: port, Proto: inet.TCP}

const probe = "probe"

// addProbes creates Service probe with an endpoint on the first seat, and for each seat
// a Service of TCP and UDP with a NodePort, whose endpoint is there.
func (r *Rig) addProbes(ctx context.Context) error {
	if err := r.addProbe(ctx, service(probe, Probe.IP), slice(probe, probe, r.Seats[0].Left.Addr4)); err != nil {
		return err
	}
	vip := netip.MustParseAddr("10.111.0.20")
	for i, s := range r.Seats {
		vip = vip.Next()
		name := fmt.Sprint("flows-", i)
		s.Flows, s.NodePort = netip.AddrPortFrom(vip, port), 30080+uint16(i)
		svc := service(name, vip,
			servicePort("tcp", corev1.ProtocolTCP, port, echoPort, int32(s.NodePort)),
			servicePort("udp", corev1.ProtocolUDP, port, echoPort, int32(s.NodePort)))
		svc.Spec.Type = corev1.ServiceTypeNodePort
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
		if err := r.addProbe(ctx, svc, flowSlice(name, s)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) addProbe(ctx context.Context, s *corev1.Service, e *discoveryv1.EndpointSlice) error {
	if _, err := r.API.CoreV1().Services(namespace).Create(ctx, s, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create Service %s: %w", s.Name, err)
	}
	if _, err := r.API.DiscoveryV1().EndpointSlices(namespace).Create(ctx, e, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create EndpointSlice %s: %w", e.Name, err)
	}
	return nil
}

func flowSlice(name string, at *Seat) *discoveryv1.EndpointSlice {
	s := slice(name, name, at.Left.Addr4)
	s.Ports = nil
	for name, proto := range map[string]corev1.Protocol{"tcp": corev1.ProtocolTCP, "udp": corev1.ProtocolUDP} {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: new(name), Port: new(int32(echoPort)), Protocol: new(proto)})
	}
	return s
}

// Point makes a pod the only endpoint of probe.
func (r *Rig) Point(ctx context.Context, at *lab.Pod) error {
	s := slice(probe, probe, at.Addr4)
	s.UID, s.CreationTimestamp = "", metav1.Time{}
	if _, err := r.API.DiscoveryV1().EndpointSlices(namespace).Update(ctx, s, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update EndpointSlice %s: %w", probe, err)
	}
	return nil
}

// ErrLate means that an event did not happen while somebody waited for it.
var ErrLate = errors.New("too late")

// Reaches dials probe from the seat's client until server answers, and returns
// ErrLate after patience. Answers of others and failures are what an agent that
// is behind gives.
func (s *Seat) Reaches(ctx context.Context, server string, patience time.Duration) error {
	return s.await(ctx, Probe, server, patience)
}

// await dials an address until server answers; "" is any. It measures to 10 ms or 5 %, whichever
// is more, also where nobody answers.
func (s *Seat) await(ctx context.Context, to inet.Addr, server string, patience time.Duration) error {
	start := time.Now()
	end := start.Add(patience)
	for {
		once, cancel := context.WithTimeout(ctx, silence(time.Since(start)))
		reply, err := s.Client.Dial(once, to)
		cancel()
		switch {
		case err == nil && (server == "" || reply.Server == server):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%s at %s: %w: %s", server, to, ErrLate, lab.Outcome(reply, err))
		case err != nil:
			pause(ctx, 2*time.Millisecond) // whoever is not served yet leaves the processor to the agent
		default:
			pause(ctx, 250*time.Microsecond) // and so does who is served by another server
		}
	}
}

// silence is how long an attempt goes without an answer before the next one, when the attempts
// have taken so long together.
func silence(waited time.Duration) time.Duration {
	return min(max(10*time.Millisecond, waited/20), 200*time.Millisecond)
}

// AllReach waits until Services from the whole range answer, and probe. The newest
// comes first, because the programs write all they know before anything new.
func (r *Rig) AllReach(ctx context.Context, s *Seat, patience time.Duration) error {
	end := time.Now().Add(patience)
	const most = 200
	step := max(1, len(r.VIPs)/most)
	for i := len(r.VIPs) - 1; i >= 0; i -= step {
		to := inet.Addr{IP: r.VIPs[i], Port: port, Proto: inet.TCP}
		if err := s.await(ctx, to, "many", time.Until(end)); err != nil {
			return err
		}
	}
	return s.await(ctx, Probe, "", time.Until(end))
}

func poll(ctx context.Context, patience time.Duration, f func() error) error {
	end := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// pause waits a while, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
