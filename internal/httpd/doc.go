// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package httpd serves HTTP on ports that strangers can reach. Memory, descriptors and
// time that clients can take are bounded: header and body have limits, each phase of a
// request has a deadline, and a group of listeners shares a limit of connections.
//
// A new connection beyond the limit replaces one whose request is not being answered:
// the oldest of the client that has the most. Idle connections therefore never keep a
// prober out, however many a client opens or however fast.
package httpd
