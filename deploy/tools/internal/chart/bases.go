// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

// Bases returns the values of each base of deploy/kustomize, besides those of the
// chart. The network is that of flannel's and kubeadm's manuals.
func Bases() map[string]map[string]any {
	image := map[string]any{"repository": NoImage}
	vxlan := map[string]any{"Network": "10.244.0.0/16", "Backend": map[string]any{"Type": "vxlan"}}
	return map[string]map[string]any{
		"proxy":   {"image": image},
		"network": {"image": image, "network": vxlan},
	}
}
