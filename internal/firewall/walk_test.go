// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/xt"
)

// always is a rule that matches every packet, or may.
func always(matched answer, v verdict) rule {
	return rule{eval: func(packet) (answer, verdict) { return matched, v }}
}

func TestWalk(t *testing.T) {
	to := func(kind verdictKind, name string) rule { return always(yes, verdict{kind, name}) }
	accepts, drops, returns := to(accept, ""), to(drop, ""), to(back, "")
	tests := []struct {
		name   string
		base   []rule
		sub    []rule // chain "sub"
		policy verdictKind
		want   verdictKind
		unsure bool
	}{
		{"policy", nil, nil, drop, drop, false},
		{"first verdict counts", []rule{accepts, drops}, nil, drop, accept, false},
		{"no verdict goes on", []rule{to(goOn, ""), accepts}, nil, drop, accept, false},
		{"jump comes back", []rule{to(jump, "sub"), accepts}, []rule{}, drop, accept, false},
		{"return comes back", []rule{to(jump, "sub"), accepts}, []rule{returns, drops}, drop, accept, false},
		{"goto does not come back", []rule{to(leap, "sub"), accepts}, []rule{}, drop, drop, false},
		{"return after goto does not, either", []rule{to(leap, "sub"), drops}, []rule{returns, drops}, accept, accept, false},
		{"return of a base chain is its policy", []rule{returns, accepts}, nil, drop, drop, false},
		{"verdict in a chain", []rule{to(jump, "sub"), drops}, []rule{accepts}, drop, accept, false},
		{"may accept", []rule{always(maybe, verdict{kind: accept})}, nil, drop, drop, true},
		{"may drop", []rule{always(maybe, verdict{kind: drop})}, nil, accept, accept, false},
		{"may jump to what accepts", []rule{always(maybe, verdict{jump, "sub"}), drops}, []rule{accepts}, drop, drop, true},
		{"may go to what drops", []rule{always(maybe, verdict{leap, "sub"})}, []rule{drops}, accept, accept, false},
		{"missing chain", []rule{to(jump, "none")}, nil, drop, drop, false},
		{"circle", []rule{to(jump, "sub")}, []rule{to(jump, "sub")}, drop, drop, false},
		{"exponential", []rule{to(jump, "sub")}, []rule{to(jump, "sub"), to(jump, "sub"), to(jump, "sub")}, drop, drop, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := &chain{name: "base", base: true, policy: tt.policy, rules: tt.base}
			w := walk{table: &table{chains: map[string]*chain{"base": base, "sub": {name: "sub", rules: tt.sub}}}}
			if got := w.run(base); got != tt.want || w.unsure != tt.unsure {
				t.Errorf("verdict %d, unsure %v, want %d, %v", got, w.unsure, tt.want, tt.unsure)
			}
		})
	}
}

// TestFind looks into sets whose elements come in any order, as the kernel's do.
func TestFind(t *testing.T) {
	at := func(b ...byte) nftables.SetElement { return nftables.SetElement{Key: b} }
	end := func(b ...byte) nftables.SetElement { return nftables.SetElement{Key: b, IntervalEnd: true} }
	ranges := &set{interval: true, elements: []nftables.SetElement{end(9), end(5), at(5), at(2), end(0), at(200)}} // 2-4, 5-8, 200-
	values := &set{elements: []nftables.SetElement{at(5), at(2)}}
	fields := &set{interval: true, elements: []nftables.SetElement{{Key: []byte{1, 1}, KeyEnd: []byte{1, 9}}, {Key: []byte{7, 7}, KeyEnd: []byte{7, 7}}}}
	tests := []struct {
		name string
		set  *set
		key  datum
		want answer
	}{
		{"before", ranges, known([]byte{1}), no},
		{"first", ranges, known([]byte{2}), yes},
		{"last", ranges, known([]byte{4}), yes},
		{"begins where another ends", ranges, known([]byte{5}), yes},
		{"behind", ranges, known([]byte{9}), no},
		{"open end", ranges, known([]byte{255}), yes},
		{"unknown", ranges, unknown(1), maybe},
		{"value", values, known([]byte{5}), yes},
		{"no value", values, known([]byte{3}), no},
		{"unknown value", values, unknown(1), maybe},
		{"fields, one value", fields, known([]byte{7, 7}), yes},
		{"fields, range", fields, known([]byte{1, 5}), maybe},
	}
	for _, tt := range tests {
		if got, _ := tt.set.find(func(int) datum { return tt.key }); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestConntrackMatch checks the options --ctstate and --ctstatus of iptables.
func TestConntrackMatch(t *testing.T) {
	const invalid, established, fresh, dnat = 1, 2, 8, 0x80
	state, status := uint16(xt.ConntrackState), uint16(xt.ConntrackStatus)
	tests := []struct {
		name                    string
		flags, invert           uint16
		states, statuses        uint16
		newFlow, reply, natFlow answer
	}{
		{"NEW", state, 0, fresh, 0, yes, no, yes},
		{"ESTABLISHED", state, 0, established, 0, no, yes, no},
		{"! INVALID", state, state, invalid, 0, yes, yes, yes},
		{"DNAT", state, 0, dnat, 0, no, no, yes},
		{"status DNAT", status, 0, 0, statusDNAT, no, no, yes},
		{"status, not DNAT", status, status, 0, statusDNAT, yes, yes, no},
		{"addresses", uint16(xt.ConntrackOrigSrc), 0, 0, 0, maybe, maybe, maybe},
		{"addresses of another state", state | uint16(xt.ConntrackOrigSrc), 0, invalid, 0, no, no, no},
	}
	pod := netip.MustParseAddr("10.244.1.2")
	for _, tt := range tests {
		i := &xt.ConntrackMtinfoBase{MatchFlags: tt.flags, InvertFlags: tt.invert}
		for p, want := range map[packet]answer{
			{src: pod}: tt.newFlow, {src: pod, established: true}: tt.reply, {src: pod, dnat: true}: tt.natFlow,
		} {
			if got := conntrackMatch(i, tt.states, tt.statuses, p); got != want {
				t.Errorf("%s, %+v: %d, want %d", tt.name, p, got, want)
			}
		}
	}
}
