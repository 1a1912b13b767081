// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package status keeps the problems of all objects, whoever reports them, and publishes
// them as Events.
package status
