// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package ask is both ends of the socket through which commands ask the agent of their
// network namespace.
//
// The socket is a file with mode 0600, so only root connects. Its name contains the
// number of the network namespace: an agent and the commands that run in its namespace
// meet there, whatever container they run in, and agents of other namespaces use other
// files in the same directory.
package ask
