// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// TestUnread says what is wrong with a value in words of the object, and names no type of
// the program.
func TestUnread(t *testing.T) {
	for spec, want := range map[string]string{
		`{"ports": [{"port": "x"}]}`:         "Service default/a: spec.ports.port: has to be a whole number in the range of the field, and is text",
		`{"ports": [{"port": 1.5}]}`:         "Service default/a: spec.ports.port: has to be a whole number in the range of the field, and is 1.5",
		`{"ports": [{"port": 99999999999}]}`: "Service default/a: spec.ports.port: has to be a whole number in the range of the field, and is 99999999999",
		`{"ports": {"port": 1}}`:             "Service default/a: spec.ports: has to be a list, and is a mapping",
		`{"clusterIP": true}`:                "Service default/a: spec.clusterIP: has to be text, and is true or false",
		`{"externalIPs": "x"}`:               "Service default/a: spec.externalIPs: has to be a list, and is text",
		`[]`:                                 "Service default/a: spec: has to be a mapping, and is a list",
	} {
		data := []byte(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": ` + spec + `}`)
		if !json.Valid(data) {
			t.Fatal(spec)
		}
		_, err := kjson.UnmarshalStrict(data, &corev1.Service{})
		if err == nil {
			t.Errorf("%s is read", spec)
			continue
		}
		it, err := unread("Service", data, err)
		if err != nil || len(it.Problems) != 1 || it.Problems[0].String() != want || strings.Contains(it.Problems[0].String(), "Go ") {
			t.Errorf("%s: %v, %v; want %s", spec, it, err, want)
		}
	}
}
