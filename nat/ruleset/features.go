// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
)

// Feature is something that the table needs of the kernel. A rule needs an expression
// in a chain of its hook; a set needs a kind of set.
type Feature struct {
	Name   string // "expression fib"
	Module string // "nft_fib_inet"; the kernel may have it built in
	Option string // "CONFIG_NFT_FIB_INET"
	Since  string // the first kernel that has it
	Use    string // what does not work without it
	Hook   *Hook
	Exprs  []expr.Any // a rule of the chain; nil for a set
	Set    *nft.Set   // nil for a rule
}

// Features returns everything that the table may need, each with the smallest rule or
// set that uses it.
func Features() []Feature {
	nat, filter := Hooks[chainPrerouting], Hooks[chainInvalid]
	const core, always = "nf_tables", "Services"
	rule := func(name, module, option, since, use string, hook *Hook, exprs ...expr.Any) Feature {
		return Feature{Name: "expression " + name, Module: module, Option: option, Since: since, Use: use, Hook: hook, Exprs: exprs}
	}
	out := []Feature{
		rule("meta", core, "CONFIG_NF_TABLES", "4.17", always, nat, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}),
		rule("payload", core, "CONFIG_NF_TABLES", "3.13", always, nat, &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}),
		rule("bitwise", core, "CONFIG_NF_TABLES", "3.13", "the mark for masquerade", filter,
			&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
			&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: make([]byte, 4), Xor: make([]byte, 4)}),
		rule("cmp", core, "CONFIG_NF_TABLES", "3.13", always, nat,
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.IPPROTO_TCP}}),
		rule("immediate", core, "CONFIG_NF_TABLES", "3.13", "masquerade", nat, &expr.Immediate{Register: reg1, Data: make([]byte, 4)}),
		rule("verdict", core, "CONFIG_NF_TABLES", "3.13", always, nat, &expr.Verdict{Kind: expr.VerdictAccept}),
		rule("counter", core, "CONFIG_NF_TABLES", "3.13", "counts of dropped packets", filter, &expr.Counter{}),
		rule("ct", "nft_ct", "CONFIG_NFT_CT", "3.13", "connection tracking", filter, &expr.Ct{Key: expr.CtKeySTATE, Register: reg1}),
		rule("ct original", "nft_ct", "CONFIG_NFT_CT", "4.17", "session affinity", filter, &nft.CtOriginal{Ct: expr.Ct{Key: nft.CtKeyDstIP, Register: reg1}}),
		rule("notrack", "nft_ct", "CONFIG_NFT_CT", "4.9", "tunnels past connection tracking", Hooks[chainTunnels], &expr.Notrack{}),
		rule("fib", "nft_fib_inet", "CONFIG_NFT_FIB_INET", "4.10", "NodePorts, and masquerade of this node's connections", nat,
			&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true}),
		rule("numgen", "nft_numgen", "CONFIG_NFT_NUMGEN", "4.9", "the choice of an endpoint", nat, &expr.Numgen{Register: reg1, Modulus: 2, Type: unix.NFT_NG_RANDOM}),
		rule("reject", "nft_reject_inet", "CONFIG_NFT_REJECT_INET", "5.9", "the answer for Services without endpoints", filter, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}),
		rule("nat", "nft_nat", "CONFIG_NFT_NAT", "5.2", always, nat,
			&expr.Immediate{Register: reg1, Data: []byte{10, 0, 0, 1}}, &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1}),
		rule("masq", "nft_masq", "CONFIG_NFT_MASQ", "5.2", "masquerade", Hooks[chainPostrouting], &expr.Masq{FullyRandom: true}),
		rule("masq with ports", "nft_masq", "CONFIG_NFT_MASQ", "5.2", "masquerade beside tunnels", Hooks[chainPostrouting],
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Immediate{Register: reg1, Data: []byte{4, 0}}, &expr.Immediate{Register: reg2, Data: []byte{255, 255}},
			&nft.MasqueradePorts{Masq: expr.Masq{FullyRandom: true, ToPorts: true, RegProtoMin: reg1, RegProtoMax: reg2}}),
	}
	return append(out, setFeatures()...)
}

// setFeatures returns the kinds of sets. lookup and dynset need a set, and are part of
// the core as these are.
func setFeatures() []Feature {
	set := func(name, use string, s Set) Feature {
		d := s.Declaration()
		return Feature{Name: name, Module: "nf_tables", Option: "CONFIG_NF_TABLES", Since: "4.1", Use: use, Set: &d}
	}
	return []Feature{
		set("verdict map with concatenated keys", "Services", Set{Kind: VIPs, Family: inet.IPv4}),
		set("map with concatenated keys", "Services", Set{Kind: Backends, Family: inet.IPv6}),
		set("set of ranges", "ranges of pods", Set{Kind: Pods, Family: inet.IPv6}),
		set("map that packets fill", "session affinity", Set{Kind: Affinity, Family: inet.IPv4}),
	}
}
