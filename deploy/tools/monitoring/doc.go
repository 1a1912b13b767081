// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the Prometheus rules and the Grafana dashboard of
// deploy/chart/files.
package monitoring
