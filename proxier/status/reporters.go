// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

// Reporters of problems. What a node reports of its own parts goes by the name
// of the part.
const (
	BySource      = "source"
	ByPrecedence  = "precedence"
	ByClaims      = "claims"
	ByNotes       = "notes"
	ByHealthPort  = "health port"
	ByHealthCheck = "health check"
	ByPod         = "pod"
	ByHostPort    = "host port"
	BySettings    = "settings"
	ByKernel      = "kernel"
	ByOverlay     = "overlay"
	ByMasqFile    = "masquerade file"
)
