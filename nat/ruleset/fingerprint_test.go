// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"reflect"
	"testing"

	"github.com/google/nftables/expr"
)

// TestFingerprintFields changes each field of each expression that is described by its fields. So
// the fingerprint differs for each change that another program can make to a rule, and a field that
// a new version of the library adds is not forgotten. SetID is the exception, because the kernel
// does not report it.
func TestFingerprintFields(t *testing.T) {
	print := func(list ...expr.Any) string {
		c := Chain{Name: "c"}
		c.AddRule(list)
		return c.Fingerprint()
	}
	seen := map[string]string{}
	for _, e := range []expr.Any{
		&expr.Cmp{}, &expr.Meta{}, &expr.Immediate{}, &expr.Verdict{}, &expr.Payload{}, &expr.Bitwise{}, &expr.Ct{}, &expr.Numgen{}, &expr.Lookup{},
	} {
		v := reflect.ValueOf(e).Elem()
		for i := -1; i < v.NumField(); i++ {
			changed := reflect.New(v.Type())
			name := v.Type().Name()
			if i >= 0 {
				name += "." + v.Type().Field(i).Name
				set(t, changed.Elem().Field(i))
			}
			if name == "Lookup.SetID" {
				continue
			}
			p := print(changed.Interface().(expr.Any))
			if other := seen[p]; other != "" {
				t.Errorf("%s has the fingerprint of %s", name, other)
			}
			seen[p] = name
		}
	}
	a, b := &expr.Cmp{Data: []byte("a")}, &expr.Cmp{Data: []byte("b")}
	if print(a, b) == print(b, a) || print(a) == print(a, a) {
		t.Error("the order or the number of expressions makes no difference")
	}
	one, two := Chain{}, Chain{}
	one.AddRule([]expr.Any{a, b})
	two.AddRule([]expr.Any{a})
	two.AddRule([]expr.Any{b})
	if one.Fingerprint() == two.Fingerprint() {
		t.Error("two rules are as one")
	}
	if print(&expr.Cmp{Data: nil}) != print(&expr.Cmp{Data: []byte{}}) {
		t.Error("no data differs from empty data")
	}
}

// set gives a field a value that is not zero.
func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.SetBytes([]byte{1})
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		t.Fatalf("a field of kind %s", v.Kind())
	}
}
