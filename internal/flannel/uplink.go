// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"encoding/json"
	"fmt"
)

// Uplink is what flannel's flags of these names say about the address by which a
// node sends and is reached. fairlead also reads them from the backend's section of
// net-conf.json, where flannel has no such fields.
type Uplink struct {
	Iface         []string
	IfaceRegex    []string
	IfaceCanReach string
	PublicIP      string
	PublicIPv6    string
}

// names reads one string or a list of them.
type names []string

func (n *names) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*n = nil
		if one != "" {
			*n = names{one}
		}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("%s is neither a string nor a list of strings", b)
	}
	*n = list
	return nil
}
