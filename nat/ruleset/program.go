// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"cmp"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// ChainsOf returns the chains that an element with this verdict needs.
func ChainsOf(verdict string, set *nat.Settings) []Chain {
	if sh, ok := parseShape(verdict); ok {
		return sh.chains(set)
	}
	if r, ok := ParseAffinityChain(verdict); ok {
		return r.chains(set)
	}
	return nil
}

// IsChainName reports whether a chain of this name may be part of the table.
func IsChainName(name string) bool {
	switch name {
	case chainRememberNew, chainServices, chainInvalidSource, chainTunnelIn, chainTunnelDrop, chainTunnelOut, chainReplyOut, chainMasquerade, chainReject:
		return true
	case allowedChain(inet.IPv4), allowedChain(inet.IPv6):
		return true
	}
	if _, ok := parseShape(name); ok {
		return true
	}
	if _, ok := ParseAffinityChain(name); ok {
		return true
	}
	return Hooks[name] != nil || isPick(name) || isRecall(name)
}

// RangesOf returns the contents of the sets that the settings fill.
func RangesOf(s *nat.Settings) map[Set][]netip.Prefix {
	out := map[Set][]netip.Prefix{}
	for _, f := range inet.Families() {
		out[Set{Kind: Pods, Family: f}] = inet.Normalize(s.Pods.CIDRs, f)
		out[Set{Kind: NodePortAddrs, Family: f}] = inet.Normalize(s.NodePortAddrs, f)
		out[Set{Kind: ServiceCIDRs, Family: f}] = inet.Normalize(s.ServiceCIDRs, f)
		out[Set{Kind: Cluster, Family: f}] = inet.Normalize(s.Cluster, f)
		out[Set{Kind: Egress, Family: f}] = inet.Normalize(s.Egress.Sources, f)
		out[Set{Kind: NoMasquerade, Family: f}] = inet.Normalize(s.Egress.Kept(s.Cluster), f)
		out[Set{Kind: VTEPs, Family: f}] = inet.Normalize(hosts(s.Tunnels.Addrs), f)
	}
	return out
}

// CompareDrops puts base chains before the chains that they refer to, shapes before
// sticky picks, these before picks, those before the chains that read one map, and the affinity
// chains of policy Local before the others.
func CompareDrops(a, b string) int {
	rank := func(name string) int {
		switch {
		case Hooks[name] != nil:
			return -1
		case strings.Contains(name, "sticky-") && strings.Contains(name, "pick"):
			return 1
		case strings.Contains(name, "remember") && !strings.Contains(name, "local-"):
			return 1
		case strings.Contains(name, "pick"):
			return 2
		case strings.Contains(name, "draw"), strings.Contains(name, "recall"):
			return 3
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// Program returns the chains that exist whatever Services there are, each one after
// those that it refers to.
//
// The chains that remember clients see every packet, so Program includes them, and those that
// recall a client, only if sticky is set. Sources are the sets of source ranges that exist.
func Program(s *nat.Settings, sticky bool, sources []Set) []Chain {
	chains := append(allowedChains(sources), []Chain{
		{Name: chainReject, Rules: []rule{newRule("reject", reject())}},
		{Name: chainServices, Rules: serviceRules(s)},
		{Name: chainMasquerade, Rules: masqueradeChain(&s.Tunnels)},
		{Name: chainPostrouting, Hook: Hooks[chainPostrouting], Rules: masqueradeRules(s)},
		{Name: chainPrerouting, Hook: Hooks[chainPrerouting], Rules: []rule{jumpServices()}},
		{Name: chainOutput, Hook: Hooks[chainOutput], Rules: []rule{jumpServices()}},
	}...)
	if sticky {
		chains = append(chains, recallChains()...)
		chains = append(chains,
			Chain{Name: chainRememberNew, Rules: stickyRules()},
			Chain{Name: chainRemember, Hook: Hooks[chainRemember], Rules: []rule{gotoSticky()}},
			Chain{Name: chainRememberOut, Hook: Hooks[chainRememberOut], Rules: []rule{gotoSticky()}})
	}
	if !s.KeepInvalid {
		chains = append(chains,
			Chain{Name: chainInvalidSource, Rules: invalidRules()},
			Chain{Name: chainInvalid, Hook: Hooks[chainInvalid], Rules: []rule{gotoInvalid()}})
	}
	if rules := sourceRules(s); len(rules) > 0 {
		chains = append(chains, Chain{Name: SourceCheck, Hook: Hooks[SourceCheck], Rules: rules})
	}
	if s.Tunnels.Port != 0 {
		chains = append(chains,
			Chain{Name: chainTunnelIn, Rules: untrackedRules()},
			Chain{Name: chainTunnels, Hook: Hooks[chainTunnels], Rules: []rule{tunnelJump(&s.Tunnels, chainTunnelIn)}},
			Chain{Name: chainTunnelDrop, Rules: guardRules(&s.Tunnels)},
			Chain{Name: chainTunnelGuard, Hook: Hooks[chainTunnelGuard], Rules: append([]rule{tunnelJump(&s.Tunnels, chainTunnelDrop)}, replyRules(&s.Tunnels)...)},
			Chain{Name: chainTunnelOut, Rules: outgoingRules()},
			Chain{Name: chainTunnelsOut, Hook: Hooks[chainTunnelsOut], Rules: []rule{tunnelJump(&s.Tunnels, chainTunnelOut)}})
		if s.Tunnels.ReplyMark != 0 {
			chains = append(chains,
				Chain{Name: chainReplyOut, Rules: restoreRules(&s.Tunnels)},
				Chain{Name: chainReplies, Hook: Hooks[chainReplies], Rules: []rule{gotoRestore(&s.Tunnels)}})
		}
	}
	return chains
}

// hosts returns each address as the range of itself.
func hosts(ips []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, ip := range ips {
		if ip.IsValid() {
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return out
}
