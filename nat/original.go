// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"time"

	"fairlead/internal/inet"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Keys of the ct expression that google/nftables (v0.3.0) lacks; kernel 4.17.
const (
	ctSrcIP  = 19 // NFT_CT_SRC_IP
	ctDstIP  = 20 // NFT_CT_DST_IP
	ctSrcIP6 = 21 // NFT_CT_SRC_IP6
	ctDstIP6 = 22 // NFT_CT_DST_IP6
)

// original loads a field of the flow's original direction: what the client
// sent, before anybody rewrote it.
//
// It is google/nftables' Ct in all but the direction, which that type encodes
// for other keys only; rules with it are sent by addRuleRaw.
type original struct{ expr.Ct }

func ctOriginal(key expr.CtKey, reg uint32) []expr.Any {
	return one(&original{expr.Ct{Key: key, Register: reg}})
}

// isRaw reports whether google/nftables cannot send one of the chain's rules.
func (c *chain) isRaw() bool {
	for _, r := range c.rules {
		for _, e := range r.exprs {
			if _, ok := e.(*original); ok {
				return true
			}
		}
	}
	return false
}

// originalKey loads what the client dialled, like dialled does before DNAT, and
// returns the register behind it.
func originalKey(f inet.Family, node bool) ([]expr.Any, uint32) {
	if node {
		port := next(reg1, 4)
		return append(l4proto(reg1), ctOriginal(expr.CtKeyPROTODST, port)...), next(port, 2)
	}
	key := expr.CtKey(ctDstIP)
	if f == inet.IPv6 {
		key = ctDstIP6
	}
	proto := next(reg1, addrLen(f))
	port := next(proto, 4)
	es := append(ctOriginal(key, reg1), l4proto(proto)...)
	return append(es, ctOriginal(expr.CtKeyPROTODST, port)...), next(port, 2)
}

func originalText(f inet.Family, node bool) string {
	if node {
		return "meta l4proto . ct original proto-dst"
	}
	return "ct original " + ipWord(f) + " daddr . meta l4proto . ct original proto-dst"
}

// stickyRules send the first packet of a connection to a sticky frontend, once
// its backend is chosen, to the chain that remembers it.
func stickyRules() []rule {
	var rules []rule
	for _, node := range []bool{false, true} {
		for _, f := range inet.Families() {
			set := setID{kSticky, f}
			if node {
				set = setID{kNodeSticky, f}
			}
			load, _ := originalKey(f, node)
			rules = append(rules, newRule(
				fmt.Sprintf("meta nfproto %s %s vmap @%s", nfprotoWord(f), originalText(f, node), set),
				onlyFamily(f), load, vmap(set)))
		}
	}
	return rules
}

// gotoSticky has stickyRules look at the packets that they are for.
func gotoSticky() rule {
	return newRule("ct state new ct status dnat goto "+chainRememberNew, ctState(stateNew), ctStatusDNAT(), gotoChain(chainRememberNew))
}

func nfprotoWord(f inet.Family) string {
	if f == inet.IPv4 {
		return "ipv4"
	}
	return "ipv6"
}

// States of a connection, as bits (NF_CT_STATE_BIT).
const (
	stateInvalid = 1 << 0
	stateNew     = 1 << 3
)

func ctState(bit uint32) []expr.Any {
	return append(masked(&expr.Ct{Key: expr.CtKeySTATE, Register: reg1}, bit, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)})
}

// chain returns the chain that remembers the backend of a new connection, or
// lets the memory of it live on.
func (r remember) chain() chain {
	set := setID{kAffinity, r.fam}
	if r.node {
		set = setID{kNodeAffinity, r.fam}
	}
	client := expr.CtKey(ctSrcIP)
	if r.fam == inet.IPv6 {
		client = ctSrcIP6
	}
	key, reg := originalKey(r.fam, r.node)
	data := next(reg, addrLen(r.fam))
	port := next(data, addrLen(r.fam))
	text := fmt.Sprintf("update @%s { %s . ct original %s saddr timeout %s : %s daddr . th dport }",
		set, originalText(r.fam, r.node), ipWord(r.fam), timeText(r.timeout), ipWord(r.fam))
	return chain{name: r.String(), rules: []rule{newRule(text,
		onlyFamily(r.fam), key, ctOriginal(client, reg), daddr(r.fam, data), dport(port),
		one(&expr.Dynset{
			SrcRegKey: reg1, SrcRegData: data, SetName: set.String(),
			Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: r.timeout,
		}))}}
}

// timeText writes a duration as nft does: 1d2h3m4s.
func timeText(d time.Duration) string {
	n := int64(d / time.Second)
	var s string
	for _, u := range []struct {
		name string
		secs int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if v := n / u.secs; v > 0 {
			s += fmt.Sprint(v) + u.name
			n -= v * u.secs
		}
	}
	return s
}
