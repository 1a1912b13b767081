// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"strconv"

	"k8s.io/client-go/features"
)

// clientGates are the feature gates of client-go. They read KUBE_FEATURE_ variables
// like client-go's own, which log a line for each gate at -v=1.
type clientGates map[features.Feature]bool

// useClientGates replaces the feature gates of client-go. Call it before any other use
// of client-go.
func useClientGates() error {
	gates := clientGates{}
	if err := features.AddFeaturesToExistingFeatureGates(gates); err != nil {
		return fmt.Errorf("read feature gates of client-go: %w", err)
	}
	features.ReplaceFeatureGates(gates)
	return nil
}

// Add sets each gate to its default, or to the value of its variable.
func (g clientGates) Add(known map[features.Feature]features.FeatureSpec) error {
	for name, spec := range known {
		g[name] = spec.Default
		text, ok := os.LookupEnv("KUBE_FEATURE_" + string(name))
		if !ok {
			continue
		}
		value, err := strconv.ParseBool(text)
		if err != nil || spec.LockToDefault && value != spec.Default {
			return fmt.Errorf("environment variable KUBE_FEATURE_%s: %q is not possible", name, text)
		}
		g[name] = value
	}
	return nil
}

// Enabled reports whether a gate is on.
func (g clientGates) Enabled(name features.Feature) bool { return g[name] }
