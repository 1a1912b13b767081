// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat"
)

// stickyRules send the first packet of a connection to a sticky frontend to the
// chain that remembers its backend. They run after the backend was chosen.
func stickyRules() []rule {
	var rules []rule
	for _, node := range []bool{false, true} {
		for _, f := range inet.Families() {
			set := Set{Kind: Sticky, Family: f}
			if node {
				set = Set{Kind: NodeSticky, Family: f}
			}
			load, _ := originalKey(f, node)
			rules = append(rules, newRule(
				fmt.Sprintf("meta nfproto %s %s vmap @%s", nfprotoWord(f), originalText(f, node), set),
				onlyFamily(f), load, vmap(set)))
		}
	}
	return rules
}

// gotoSticky sends the packets that open translated connections to the chain of
// stickyRules, so that all other packets cost one rule.
func gotoSticky() rule {
	return newRule("ct state new ct status dnat goto "+chainRememberNew, ctState(stateNew), ctStatusDNAT(), gotoChain(chainRememberNew))
}

// chains returns the chain that writes the backend of a new connection into an
// affinity map, or renews the entry, and before it the chains that it refers to.
func (r AffinityChain) chains(set *nat.Settings) []Chain {
	if !r.Local {
		return []Chain{{Name: r.String(), Rules: r.updates()}}
	}
	other := r
	other.Local = false
	return append(other.chains(set), Chain{Name: r.String(), Rules: append(r.unconfined(set, other.String()), r.updates()...)})
}

// unconfined sends the clients to the other chain that policy Local sends to any
// backend. Shape.decide has the same conditions.
func (r AffinityChain) unconfined(set *nat.Settings, other string) []rule {
	var rules []rule
	if text, inside := podMatch(&set.Pods, r.Family, false); text != "" {
		rules = append(rules, newRule(text+" goto "+other, inside, gotoChain(other)))
	}
	return append(rules, newRule("fib saddr type local goto "+other, localAddress(true), gotoChain(other)))
}

// affinitySet returns the map that remembers clients of one kind.
func affinitySet(f inet.Family, node, local bool, share uint8) Set {
	kinds := [2][2]Kind{{Affinity, LocalAffinity}, {NodeAffinity, NodeLocalAffinity}}
	at := func(on bool) int {
		if on {
			return 1
		}
		return 0
	}
	return Set{Kind: kinds[at(node)][at(local)], Family: f, Number: share}
}

// updates write a client into the Service's own map, and into the map that all Services
// use while that is full: an update of a full map ends its rule. So other Services can
// use up room in the common map only.
func (r AffinityChain) updates() []rule {
	if r.Share == 0 {
		return []rule{r.update(0)}
	}
	own := r.update(r.Share)
	own.Text += " return"
	own.Exprs = append(own.Exprs, returns()...)
	return []rule{own, r.update(0)}
}

func (r AffinityChain) update(share uint8) rule {
	set := affinitySet(r.Family, r.NodePort, r.Local, share)
	client := nft.CtKeySrcIP
	if r.Family == inet.IPv6 {
		client = nft.CtKeySrcIP6
	}
	key, reg := originalKey(r.Family, r.NodePort)
	data := next(reg, AddrLen(r.Family))
	port := next(data, AddrLen(r.Family))
	text := fmt.Sprintf("update @%s { %s . ct original %s saddr timeout %s : %s daddr . th dport }",
		set, originalText(r.Family, r.NodePort), ipWord(r.Family), TimeText(r.Timeout), ipWord(r.Family))
	return newRule(text,
		onlyFamily(r.Family), key, ctOriginal(client, reg), daddr(r.Family, data), dport(port),
		one(&expr.Dynset{
			SrcRegKey: reg1, SrcRegData: data, SetName: set.String(),
			Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: r.Timeout,
		}))
}

// TimeText writes a duration as nft does: 1d2h3m4s.
func TimeText(d time.Duration) string {
	n := int64(d / time.Second)
	var s strings.Builder
	for _, u := range []struct {
		name string
		secs int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if v := n / u.secs; v > 0 {
			s.WriteString(fmt.Sprint(v) + u.name)
			n -= v * u.secs
		}
	}
	return s.String()
}

// AffinityChain names a chain that remembers for Timeout which backend a client got.
// Frontends with one timeout share it.
type AffinityChain struct {
	Family   inet.Family
	NodePort bool
	Local    bool          // the frontend has policy Local
	Timeout  time.Duration // whole seconds
	Share    uint8         // see nat.Frontend.Share
}

// String returns, for example, "remember4-10800s" or "node-local-remember6-60s-7" with
// share 7.
func (r AffinityChain) String() string {
	name := fmt.Sprintf("remember%c-%ds", r.Family.Digit(), r.Timeout/time.Second)
	if r.Share > 0 {
		name += fmt.Sprintf("-%d", r.Share)
	}
	if r.Local {
		name = "local-" + name
	}
	if r.NodePort {
		name = "node-" + name
	}
	return name
}

// ParseAffinityChain reads what String wrote. It reports false for all other names.
func ParseAffinityChain(name string) (AffinityChain, bool) {
	rest, node := strings.CutPrefix(name, "node-")
	rest, local := strings.CutPrefix(rest, "local-")
	rest, ok := strings.CutPrefix(rest, "remember")
	if !ok || len(rest) < 4 {
		return AffinityChain{}, false
	}
	seconds, share, _ := strings.Cut(rest[2:], "s")
	n, err := strconv.Atoi(seconds)
	number, _ := strconv.ParseUint(strings.TrimPrefix(share, "-"), 10, 8)
	r := AffinityChain{
		Family: inet.FamilyOfDigit(rest[0]), NodePort: node, Local: local,
		Timeout: time.Duration(n) * time.Second, Share: uint8(number),
	}
	return r, err == nil && r.Share <= MaxShares && r.String() == name
}

// Sets returns the maps of one Service that the chain writes.
func (r AffinityChain) Sets() []Set {
	if r.Share == 0 {
		return nil
	}
	out := []Set{affinitySet(r.Family, r.NodePort, false, r.Share)}
	if r.Local {
		out = append(out, affinitySet(r.Family, r.NodePort, true, r.Share))
	}
	return out
}
