// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
)

func fd(ns *netns.NS) int {
	if ns == nil {
		return 0
	}
	return ns.Fd()
}

func families() map[nftables.TableFamily]string {
	return map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}
}

// lookTables lists tables, and of those of iptables the chains and what leads
// from one to the other.
func (s *State) lookTables(ns *netns.NS) error {
	return insist("tables of nftables", func() error {
		conn, err := nftables.New(nftables.WithNetNSFd(fd(ns)))
		if err != nil {
			return err
		}
		socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns})
		if err != nil {
			return err
		}
		defer func() { _ = socket.Close() }()
		// A list that is read during a commit may lack objects that existed throughout. If
		// commits never pause, the last list has to suffice.
		for range tries {
			before, err := generation(socket)
			if err != nil {
				return err
			}
			if err := s.readTables(conn, socket); err != nil {
				return err
			}
			after, err := generation(socket)
			if err != nil || after == before {
				return err
			}
		}
		return nil
	})
}

// generation returns the number of commits to nf_tables so far.
func generation(socket *nl.Socket) (id uint32, err error) {
	var m nl.Messages
	nft.Table{}.Begin(&m, unix.NFT_MSG_GETGEN, 0)
	if err := socket.Get(&m, func(r nl.Reply) { id = nft.ReadGeneration(r) }); err != nil {
		return 0, fmt.Errorf("read generation: %w", err)
	}
	return id, nil
}

func (s *State) readTables(conn *nftables.Conn, socket *nl.Socket) error {
	tables, err := conn.ListTables()
	if err != nil {
		return err
	}
	chains, err := conn.ListChains()
	if err != nil {
		return err
	}
	s.Tables = nil
	for _, kt := range tables {
		t := Table{Family: families()[kt.Family], Name: kt.Name}
		if t.iptables() {
			rules, err := dumpRules(socket, kt)
			if errors.Is(err, unix.ENOENT) {
				continue // gone meanwhile
			}
			if err != nil {
				return fmt.Errorf("rules of table %s: %w", &t, err)
			}
			for _, c := range chains {
				if c.Table.Family == kt.Family && c.Table.Name == kt.Name {
					t.Chains = append(t.Chains, Chain{Name: c.Name, Base: c.Hooknum != nil, Rules: rules[c.Name]})
				}
			}
		}
		if t.Family != "" {
			s.Tables = append(s.Tables, t)
		}
	}
	return nil
}

// dumpRules returns, by chain, the rules of a table that lead to other chains.
// nftables.Conn.GetRules reads one chain per request, and kube-proxy may have made tens
// of thousands of chains.
func dumpRules(socket *nl.Socket, t *nftables.Table) (map[string][]Rule, error) {
	var out map[string][]Rule
	err := nl.Repeat("rules", func() error {
		out = map[string][]Rule{}
		var m nl.Messages
		nft.Table{Family: uint8(t.Family), Name: t.Name}.Get(&m, unix.NFT_MSG_GETRULE)
		return socket.Dump(&m, func(r nl.Reply) {
			chain, exprs := nft.ReadRule(r)
			if rule := (Rule{Handle: nft.ReadHandle(r), Target: target(exprs)}); rule.Target != "" {
				out[chain] = append(out[chain], rule)
			}
		})
	})
	return out, err
}

// target returns the chain that the verdict of a rule leads to, or "".
func target(exprs []byte) (chain string) {
	for _, e := range nl.Attrs(exprs) {
		if nl.String(nl.Attr(e, unix.NFTA_EXPR_NAME)) != "immediate" {
			continue
		}
		data := nl.Attr(nl.Attr(e, unix.NFTA_EXPR_DATA), unix.NFTA_IMMEDIATE_DATA)
		if name := nl.Attr(nl.Attr(data, unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN); name != nil {
			chain = nl.String(name)
		}
	}
	return chain
}

// kernelTable is the table of that name, as nft writes it, for the library.
func kernelTable(name string) (*nftables.Table, error) {
	for family, s := range families() {
		if n := len(s) + 1; len(name) > n && name[:n] == s+" " {
			return &nftables.Table{Family: family, Name: name[n:]}, nil
		}
	}
	return nil, fmt.Errorf("table %q is of no known family", name)
}

// sizes for a transaction of chunk chains and the acknowledgements of it.
const (
	chunk      = 400
	bufferSize = 4 << 20
)
