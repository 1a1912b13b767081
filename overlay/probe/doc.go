// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package probe finds peers whose tunnel packets never come back. It sends one small
// UDP packet per peer and interval from this node's VTEP address to that of the peer,
// through the tunnel, to a port on which nobody listens. The kernel of the peer answers
// that the port is unreachable, so peers that run flannel answer, too, and the agent
// needs no capability for raw sockets.
//
//	Round   who is lost     pure
//	Run     sockets and time
package probe
