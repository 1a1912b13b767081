// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fairlead/internal/cni"
)

// maxCNIFile bounds a file of the runtime's directory in bytes, and maxCNIFiles their number.
const (
	maxCNIFile  = 1 << 20
	maxCNIFiles = 100
)

// lookBridges notes which bridges the CNI configurations of other programs name.
// Files that a container runtime cannot read name none.
func (s *State) lookBridges(o Options) error {
	if o.CNIDir == "" {
		return nil
	}
	entries, err := os.ReadDir(o.CNIDir) // sorted
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("look for CNI configurations: %w", err)
	}
	s.Claims = map[string]string{}
	read := 0
	for _, e := range entries {
		if !cni.Considers(e.Name()) || e.Name() == flannelConflist || e.Name() == fairleadConflist || read == maxCNIFiles {
			continue
		}
		read++
		name := filepath.Join(o.CNIDir, e.Name())
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxCNIFile {
			continue
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away
		}
		if err != nil {
			return fmt.Errorf("read CNI configuration: %w", err)
		}
		for _, bridge := range claimed(text) {
			if s.Claims[bridge] == "" {
				s.Claims[bridge] = e.Name()
			}
		}
	}
	return nil
}

// plugin is what a CNI configuration says of a plugin.
type plugin struct{ Type, Bridge string }

// claimed returns the bridges that a CNI configuration names, a list of plugins or one. The
// plugin bridge calls its bridge cni0 unless it is told otherwise.
func claimed(text []byte) []string {
	var c struct {
		plugin
		Plugins []plugin
	}
	if json.Unmarshal(text, &c) != nil {
		return nil
	}
	var out []string
	for _, p := range append(c.Plugins, c.plugin) {
		if p.Type != "bridge" {
			continue
		}
		if p.Bridge == "" {
			p.Bridge = podBridge
		}
		out = append(out, p.Bridge)
	}
	return out
}
