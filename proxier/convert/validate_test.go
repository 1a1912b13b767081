// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestPlain: each check of Kubernetes accepts a plain name, which are the labels of RFC 1035.
func TestPlain(t *testing.T) {
	checks := map[string]func(string) []string{
		"IsDNS1035Label": validation.IsDNS1035Label, "IsDNS1123Label": validation.IsDNS1123Label, "IsDNS1123Subdomain": validation.IsDNS1123Subdomain,
	}
	random := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 100_000 {
		name := make([]byte, random.IntN(8))
		for i := range name {
			name[i] = "az09-._AZ{`/:\x00\xff é"[random.IntN(18)]
		}
		s := string(name) + strings.Repeat("a", random.IntN(2)*random.IntN(70))
		if isPlain(s) != (len(validation.IsDNS1035Label(s)) == 0) {
			t.Fatalf("%q is plain: %v", s, isPlain(s))
		}
		if !isPlain(s) {
			continue
		}
		plain++
		for name, check := range checks {
			if errs := check(s); len(errs) > 0 {
				t.Fatalf("%s refuses %q: %v", name, s, errs)
			}
		}
	}
	if plain < 1000 {
		t.Errorf("only %d names were plain", plain)
	}
}
