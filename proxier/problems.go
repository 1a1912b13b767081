// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// Reporters of problems. What a node reports of its own parts goes by the name
// of the part.
const (
	bySource      = "source"
	byPrecedence  = "precedence"
	byClaims      = "claims"
	byNotes       = "notes"
	byHealthPort  = "health port"
	byHealthCheck = "health check"
	byPod         = "pod"
	byHostPort    = "host port"
	bySettings    = "settings"
	byKernel      = "kernel"
	byOverlay     = "overlay"
	byMasqFile    = "masquerade file"
)
