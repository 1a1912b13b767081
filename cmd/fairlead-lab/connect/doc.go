// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package connect is fairlead connectivity-test without Kubernetes: the same plan, the same
// servers and clients, in the namespaces of a lab.
package connect
