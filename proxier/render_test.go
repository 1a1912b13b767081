// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"strings"
	"testing"

	"fairlead/proxier/resolve"
	"fairlead/proxier/source"
	"fairlead/proxier/store"
)

func TestRenderHostPorts(t *testing.T) {
	items, err := source.ParseManifest([]byte(`
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {nodeName: node-a, containers: [{name: c, ports: [{containerPort: 80, hostPort: 8080}]}]}
status: {phase: Running, podIP: 10.244.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere}
spec: {nodeName: node-b, containers: [{name: c, ports: [{containerPort: 80, hostPort: 8081}]}]}
status: {phase: Running, podIP: 10.244.1.3}
`))
	if err != nil {
		t.Fatal(err)
	}
	st := store.New()
	st.Update(func(tx *store.Tx) {
		for i := range items {
			tx.Put(&items[i])
		}
	})
	table, problems := Render(resolve.Config{NodeName: "node-a"}, st)
	if len(problems) > 1 { // the Node is not known
		t.Errorf("problems: %v", problems)
	}
	if !strings.Contains(table, `tcp . 8080 comment "default/web" : 10.244.0.3 . 80`) {
		t.Errorf("the host port is not in the table:\n%s", table)
	}
	if strings.Contains(table, "elsewhere") {
		t.Errorf("a host port of another node is in the table:\n%s", table)
	}
}
