// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall_test

// The rulesets below have the shape of what these programs make: names of
// chains, hooks, priorities and the order of verdicts.

const docker = `
set -e
iptables-nft -P FORWARD DROP
iptables-nft -N DOCKER
iptables-nft -N DOCKER-USER
iptables-nft -N DOCKER-ISOLATION-STAGE-1
iptables-nft -A DOCKER-USER -j RETURN
iptables-nft -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j RETURN
iptables-nft -A DOCKER-ISOLATION-STAGE-1 -j RETURN
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -o docker0 -j DOCKER
iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
iptables-nft -A FORWARD -i docker0 -o docker0 -j ACCEPT
`

// early, raw and late drop before and behind the hook forward.
const early = `
table inet guard {
	chain first {
		type filter hook prerouting priority raw; policy accept;
		ip saddr 10.244.0.0/16 drop
		ip6 saddr fd00:10:244::/48 drop
	}
}
`

const raw = `
iptables-nft -t raw -A PREROUTING -s 10.244.0.0/16 -j DROP
`

const late = `
table inet guard {
	chain last {
		type filter hook postrouting priority 300; policy accept;
		ip daddr 10.244.0.0/16 drop
		ip6 daddr fd00:10:244::/48 drop
	}
}
`

const firewalld = `
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24 } reject with icmpv6 type addr-unreachable
		jump filter_FORWARD_ZONES
		reject with icmpx type admin-prohibited
	}
	chain filter_FORWARD_ZONES {
		iifname "eth0" goto filter_FWD_public
		goto filter_FWD_public
	}
	chain filter_FWD_public {
		jump filter_FWD_public_deny
		jump filter_FWD_public_allow
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain filter_FWD_public_deny { }
	chain filter_FWD_public_allow { }
}
`

const ufw = `
set -e
for t in iptables ip6tables; do
	p=ufw; test $t = iptables || p=ufw6
	$t-nft -P FORWARD DROP
	$t-nft -N $p-before-forward
	$t-nft -N $p-after-forward
	$t-nft -N $p-user-forward
	$t-nft -N $p-skip-to-policy-forward
	$t-nft -A FORWARD -j $p-before-forward
	$t-nft -A FORWARD -j $p-after-forward
	$t-nft -A $p-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	$t-nft -A $p-before-forward -j $p-user-forward
	$t-nft -A $p-skip-to-policy-forward -j DROP
	$t-nft -A $p-after-forward -m limit --limit 3/min --limit-burst 10 -j LOG
	$t-nft -A $p-after-forward -j $p-skip-to-policy-forward
done
`

// oracle is what images of some clouds come with.
const oracle = `
set -e
iptables-nft -A FORWARD -j REJECT --reject-with icmp-host-prohibited
ip6tables-nft -A FORWARD -j REJECT
`

const plain = `
table inet my-filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname "lan*" accept
		tcp dport { 22, 80, 443 } ip daddr 10.9.0.0/16 accept
	}
}
`

const legacy = `
set -e
for t in iptables ip6tables; do
	$t-legacy -P FORWARD DROP
	$t-legacy -N extra
	$t-legacy -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	$t-legacy -A FORWARD -i docker0 -j ACCEPT
	$t-legacy -A FORWARD -j extra
	$t-legacy -A extra -p udp -j ACCEPT
done
`

// harmless lets pods pass, each table by other means. POD is a pod's device.
const harmless = `
table inet strict {
	chain source {
		type filter hook prerouting priority mangle; policy accept;
		fib saddr . iif oif missing drop
		iifname "eth0" ip saddr 10.244.1.0/24 drop
	}
}
table ip a {
	chain f {
		type filter hook forward priority 0; policy drop;
		ip saddr 10.244.0.0/16 accept
		ip daddr != { 192.168.0.0/16 } accept
	}
}
table inet b {
	set pods { type ipv4_addr; flags interval; elements = { 10.244.0.0-10.244.255.255, 10.9.0.0/16 }; }
	map zones { type ifname : verdict; elements = { "eth0" : jump up, "lo" : drop }; }
	chain up { meta mark and 0xff == 0 accept; }
	chain inner {
		ip daddr 10.0.0.0/8 accept
		ip ttl 1-255 oifname "eth0" accept
		accept
	}
	chain f {
		type filter hook forward priority 5; policy drop;
		ct state invalid drop
		tcp dport { 25, 445 } reject
		iifname "docker0" drop
		fib daddr type { broadcast, multicast } drop
		meta nfproto ipv6 accept
		iifname vmap @zones
		ip saddr @pods goto inner
		ip daddr @pods ct state new,established accept
	}
}
table inet c {
	chain f {
		type filter hook forward priority 10; policy accept;
		limit rate over 1000000/second drop
		ip saddr 203.0.113.0/24 ip daddr 203.0.113.0/24 drop
		ct status and dnat == 0 ct state new iifname "wan" drop
	}
}
table inet g {
	chain f {
		type filter hook forward priority 20; policy drop;
		ct state established accept
		iif { "POD", "eth0" } oif != "lo" accept
	}
}
table ip d { chain f { type filter hook input priority 0; policy drop; }; }
table bridge e { chain f { type filter hook forward priority 0; policy drop; }; }
`

const harmlessLegacy = `
set -e
iptables-legacy -P FORWARD DROP
iptables-legacy -A FORWARD -p udp -j DROP
iptables-legacy -A FORWARD -i docker+ -j DROP
iptables-legacy -N pods
iptables-legacy -A FORWARD ! -s 10.9.0.0/16 -g pods
iptables-legacy -A pods -m addrtype --dst-type LOCAL -j DROP
iptables-legacy -A pods -m conntrack --ctstate NEW,ESTABLISHED -m comment --comment hello -j ACCEPT
`

// possible accepts pods by means that cannot be evaluated.
const possible = `
table inet my-filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		meta day "Monday" accept
		meta day != "Monday" accept
	}
}
`
