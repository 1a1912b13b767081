// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
)

// TestMismatches: each kind of damage is one line, and no damage is none.
func TestMismatches(t *testing.T) {
	for _, tt := range []struct {
		damage []string
		want   []string
	}{
		{nil, nil},
		{[]string{"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }"}, []string{
			`missing element of vips4 { 10.96.0.10 . udp . 53 }: 10.96.0.10 . udp . 53 comment "kube-system/kube-dns:dns" : goto cluster4-2`}},
		{[]string{
			"delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }",
			`add element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 comment "kube-system/kube-dns:dns" : 10.9.9.9 . 53 }`}, []string{
			`changed element of backends4 { 10.96.0.10 . udp . 53 . 1 }: have 10.96.0.10 . udp . 53 . 1 comment "kube-system/kube-dns:dns" : 10.9.9.9 . 53, want 10.96.0.10 . udp . 53 . 1 comment "kube-system/kube-dns:dns" : 10.244.1.7 . 53`}},
		{[]string{"add element inet fairlead hairpin4 { 10.9.9.9 . 10.9.9.9 }"}, []string{
			"extra   element of hairpin4 { 10.9.9.9 . 10.9.9.9 }: 10.9.9.9 . 10.9.9.9"}},
		{[]string{"add element inet fairlead pods4 { 10.9.0.0/16 }"}, []string{"extra   element of pods4 { 10.9.0.0/16 }: 10.9.0.0/16"}},
		{[]string{"add chain inet fairlead postrouting { policy drop; }"}, []string{"changed chain postrouting: it has policy drop, want accept"}},
		{[]string{"insert rule inet fairlead services ip saddr 10.9.9.9 drop"}, []string{"changed chain services: its 13 rules differ from the 12 wanted ones"}},
		{[]string{"add chain inet fairlead mine { type filter hook forward priority 0; policy drop; }"}, []string{"extra   chain mine"}},
		{[]string{"add set inet fairlead mine { type ipv4_addr; }"}, []string{"extra   set mine"}},
		{[]string{"delete chain inet fairlead invalid"}, []string{"missing chain invalid"}},
		{[]string{"delete chain inet fairlead prerouting", "add chain inet fairlead prerouting { type filter hook prerouting priority -50; }"},
			[]string{"changed chain prerouting: it is attached to another hook"}},
		{[]string{"add table inet fairlead { flags dormant; }"}, []string{"changed table inet fairlead: it is dormant, so its chains see no packet"}},
		{[]string{"delete table inet fairlead"}, []string{"missing table inet fairlead"}},
	} {
		t.Run(fmt.Sprint(tt.damage), func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			table := open(t, ns)
			s := plan.NewState()
			s.Configure(nattest.Settings())
			nattest.Variety(s)
			// A frontend that was larger keeps its size class, which is no difference.
			key := nattest.Addr("10.96.0.50:80", inet.TCP)
			f := nat.Frontend{Policy: nat.Internal, Owner: "default/shrunk", Backends: nattest.Pods(20)}
			s.Set(key, f)
			// One that lost its only backend keeps its shape, which is none either.
			emptyKey := nattest.Addr("10.96.0.51:80", inet.TCP)
			empty := nat.Frontend{Policy: nat.Internal, Owner: "default/emptied", Backends: nattest.Pods(1)}
			s.Set(emptyKey, empty)
			settle(t, s, table)
			f.Backends = nattest.Pods(12)
			s.Set(key, f)
			empty.Backends = nil
			s.Set(emptyKey, empty)
			settle(t, s, table)
			for _, command := range tt.damage {
				nftCommand(t, ns, command)
			}
			found, err := table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := plan.NewState()
			want.Configure(nattest.Settings())
			nattest.Variety(want)
			want.Set(key, f)
			want.Set(emptyKey, empty)
			var got []string
			for _, d := range want.Mismatches(found) {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
