// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestTurns has one namespace with many Services and others with few.
func TestTurns(t *testing.T) {
	q := newTurns()
	for i := range 5 {
		q.push(types.NamespacedName{Namespace: "evil", Name: fmt.Sprint(i)})
	}
	q.push(types.NamespacedName{Namespace: "a", Name: "0"})
	q.push(types.NamespacedName{Namespace: "b", Name: "0"})
	q.push(types.NamespacedName{Namespace: "evil", Name: "3"}) // waits already
	var got []string
	for q.len() > 0 {
		if got = append(got, q.pop().String()); len(got) == 4 {
			q.push(types.NamespacedName{Namespace: "a", Name: "0"})
		}
	}
	if s := strings.Join(got, " "); s != "evil/0 a/0 b/0 evil/1 evil/2 a/0 evil/3 evil/4" {
		t.Errorf("order %s", s)
	}
	if len(q.keys)+len(q.order) > 0 {
		t.Errorf("left: %v %v", q.keys, q.order)
	}
}
