// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos disturbs the cluster of package world in every way that
// docs/reliability.md speaks of, while clients connect all the time, and says which
// connections failed although a promise covers them. Package internal/chaos decides what
// happens and what counts; this package does it.
package chaos
