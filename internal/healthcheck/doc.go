// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package healthcheck answers load balancers that ask a node whether it has
// endpoints of a Service (spec.healthCheckNodePort), as kube-proxy does.
//
//	Set, Delete, SetLocal, Serve ─► what is wanted ─► Run ─► listeners, one a port and address
//	                                                             │
//	                     GET /anything ─────────────────────────┴─► 200 or 503, what is wanted now
//
// It owns the listening sockets and nothing else. A port that cannot be had is
// reported and tried again, longer and longer; all others are served meanwhile.
// What is answered needs no socket to change: a Service that takes a port over
// from another is answered for from the next request on.
//
// A Server is safe for concurrent use. Its sockets are opened and closed by Run
// alone.
package healthcheck
