// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"time"

	"fairlead/internal/netns"
)

// Config says what a Socket is for. The zero value of each field but Protocol is
// a sensible default.
type Config struct {
	// Protocol is NETLINK_ROUTE (0) or NETLINK_NETFILTER.
	Protocol int
	// Namespace is where the socket is opened; nil is that of the process.
	Namespace *netns.NS
	// Groups are the multicast groups to listen to, by number: RTNLGRP_LINK,
	// NFNLGRP_NFTABLES, ...
	Groups []uint32
	// Timeout bounds the wait for each answer; 10 s by default. The kernel works on
	// requests before the system call that sends them returns, so a longer wait
	// means that an answer was lost.
	Timeout time.Duration
	// SendBuffer and ReceiveBuffer are the sizes to ask for, in bytes. Without
	// CAP_NET_ADMIN in the initial user namespace the kernel grants at most
	// net.core.wmem_max and rmem_max.
	SendBuffer, ReceiveBuffer int
	// Rest is how long Listen waits before it reads again when notifications come often, so
	// that one wake-up of the program serves many. Such a socket serves Listen alone. 0 never waits.
	Rest time.Duration
	// Refused, if not nil, is told what a socket that rests does without, because the kernel, or a
	// filter of system calls, refuses it.
	Refused func(error)
	// Calls replace the system calls in tests; nil otherwise.
	Calls Calls
}
