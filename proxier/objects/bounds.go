// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

// Bounds of one object. An object that exceeds one is served up to the bound, in the
// order of the object, and has a Problem. They are far above what clusters use and keep
// a tenant from filling the memory of every agent with an object of a few kilobytes.
const (
	// MaxServicePorts bounds the ports of a Service.
	MaxServicePorts = 4096
	// MaxServiceAddrs bounds the external IPs of a Service, and its load balancer
	// addresses.
	MaxServiceAddrs = 4096
	// MaxSourceRanges bounds loadBalancerSourceRanges. Clients outside of the ranges
	// that are kept are dropped.
	MaxSourceRanges = 4096
	// MaxFrontends bounds the addresses and ports that a Service is reached at.
	MaxFrontends = 16_384
	// MaxElements bounds, over all frontends of a Service, the sum of their endpoints
	// and source ranges: about 100 MB in the agent.
	MaxElements = 1 << 19
	// MaxHostPorts bounds the host ports of a Pod.
	MaxHostPorts = 4096
	// MaxProblems bounds the problems that one reporter has with one object.
	MaxProblems = 100
	// MaxProblemText bounds the text of one problem, in bytes: it may quote the object.
	MaxProblemText = 1024
)
