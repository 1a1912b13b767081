// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nltest makes the system calls of netlink sockets fail, one at a time and
// at a place that the test chooses. Faults is below nl.Socket: what a caller sees is
// what the code of nl makes of the failure. Requests that a fault does not concern
// reach the real kernel.
package nltest
