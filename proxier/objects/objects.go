// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
)

// Service is the slim form of a v1 Service.
type Service struct {
	Key     types.NamespacedName
	UID     types.UID // for Events; empty where the object comes from a file
	Created time.Time // decides between Services that claim an address at once

	ClusterIPs      []netip.Addr // one per family; empty for a headless Service
	ExternalIPs     []netip.Addr // spec.externalIPs
	LoadBalancerIPs []netip.Addr // status ingress IPs with ipMode VIP
	Ports           []ServicePort

	// SourceRanges is spec.loadBalancerSourceRanges; it applies when Restricted
	// is set, which it is too when none of the given ranges could be parsed.
	SourceRanges []netip.Prefix
	Restricted   bool

	ExternalLocal       bool          // externalTrafficPolicy: Local
	InternalLocal       bool          // internalTrafficPolicy: Local
	Affinity            time.Duration // sessionAffinity ClientIP; 0 is none
	HealthCheckNodePort uint16        // 0 is none
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name     string
	Proto    inet.Proto
	Port     uint16
	NodePort uint16 // 0 is none
}

// Slice is the slim form of a discovery.k8s.io/v1 EndpointSlice.
type Slice struct {
	Key       types.NamespacedName
	UID       types.UID // for Events
	Service   types.NamespacedName
	IPv6      bool
	Ports     []SlicePort
	Endpoints []Endpoint
	// Changed is the annotation endpoints.kubernetes.io/last-change-trigger-time,
	// or zero.
	Changed time.Time
}

// HasHints reports whether an endpoint has topology hints.
func (s *Slice) HasHints() bool {
	return slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return !e.ForZones.IsEmpty() || !e.ForNodes.IsEmpty() })
}

// SlicePort is one port of a Slice.
type SlicePort struct {
	Name  string
	Proto inet.Proto
	Port  uint16
}

// Endpoint is one address of a Slice.
type Endpoint struct {
	Addr        netip.Addr
	Node        Name
	Zone        Name
	ForZones    Names // hints.forZones
	ForNodes    Names // hints.forNodes
	Ready       bool
	Serving     bool
	Terminating bool
}

// Node is the slim form of a v1 Node.
type Node struct {
	Name      string
	Created   time.Time
	Addresses []netip.Addr // InternalIPs, then ExternalIPs, in the order of the object
	// Underlay are the InternalIPs, or the ExternalIPs of a node without any: by
	// them nodes reach each other.
	Underlay []netip.Addr
	// UnderlayWritten is set if the agent of the node wrote AnnotationUnderlay as it is.
	UnderlayWritten bool
	PodCIDRs        []netip.Prefix
	Zone            string // label topology.kubernetes.io/zone
	// Flannel is what flannel says of the node in annotations, nil for nothing.
	// It counts with Config.FlannelCompat only.
	Flannel *flannel.Lease
	// Leaving is set when the node is being deleted or carries the taint
	// ToBeDeletedByClusterAutoscaler (KEP-3836).
	Leaving bool
}

// AnnotationUnderlay lists addresses by which a node is reached and sends, before
// those of its status and separated by commas. Peers send to the first of each family
// and accept tunnel packets from all.
const AnnotationUnderlay = "fairlead/underlay-addresses"

// AnnotationUnderlayWritten repeats the value of AnnotationUnderlay if an agent wrote that.
// The agent removes what it wrote itself, and leaves what people wrote.
const AnnotationUnderlayWritten = "fairlead/underlay-addresses-written"

// ServiceCIDR is the slim form of a networking.k8s.io/v1 ServiceCIDR.
type ServiceCIDR struct {
	Name  string
	CIDRs []netip.Prefix
}

// Pod is the slim form of a v1 Pod that has ports of its node.
type Pod struct {
	Key     types.NamespacedName
	UID     types.UID // for Events
	Created time.Time // decides between Pods that claim a port at once
	Node    string
	IPs     []netip.Addr
	Ports   []PodPort
}

// PodPort is a port of the node that belongs to a Pod.
type PodPort struct {
	Field    string // where the object says so
	Proto    inet.Proto
	HostIP   netip.Addr // invalid for all addresses of the node
	HostPort uint16
	Port     uint16 // of the Pod
}
