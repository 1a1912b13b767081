// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
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
		raw, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: fd(ns)})
		if err != nil {
			return err
		}
		defer func() { _ = raw.Close() }()
		// What is listed while somebody commits may lack things that were there
		// all the time. Where that never ends, what was seen last has to do.
		for range tries {
			before, err := generation(raw)
			if err != nil {
				return err
			}
			if err := s.readTables(conn, raw); err != nil {
				return err
			}
			after, err := generation(raw)
			if err != nil || after == before {
				return err
			}
		}
		return nil
	})
}

// generation is the number of commits that there have been.
func generation(conn *netlink.Conn) (id uint32, err error) {
	msgs, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN),
			Flags: netlink.Request,
		},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, fmt.Errorf("read generation: %w", err)
	}
	for _, m := range msgs {
		ad, err := netlink.NewAttributeDecoder(m.Data[min(4, len(m.Data)):])
		if err != nil {
			return 0, err
		}
		ad.ByteOrder = binary.BigEndian
		for ad.Next() {
			if ad.Type() == unix.NFTA_GEN_ID {
				id = ad.Uint32()
			}
		}
	}
	return id, nil
}

func (s *State) readTables(conn *nftables.Conn, raw *netlink.Conn) error {
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
			rules, err := dumpRules(raw, kt)
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
// nftables.Conn.GetRules asks for one chain at a time, of which kube-proxy may
// have made tens of thousands.
func dumpRules(conn *netlink.Conn, t *nftables.Table) (map[string][]Rule, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(t.Name), 0)}})
	if err != nil {
		return nil, err
	}
	msgs, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return nil, err
	}
	out := map[string][]Rule{}
	for _, m := range msgs {
		chain, r, err := decodeRule(m.Data)
		if err != nil {
			return nil, fmt.Errorf("decode rule of chain %q: %w", chain, err)
		}
		if r.Target != "" {
			out[chain] = append(out[chain], r)
		}
	}
	return out, nil
}

func decodeRule(data []byte) (chain string, r Rule, err error) {
	if len(data) < 4 {
		return "", r, unix.EBADMSG
	}
	ad, err := netlink.NewAttributeDecoder(data[4:]) // behind struct nfgenmsg
	if err != nil {
		return "", r, err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
		case unix.NFTA_RULE_HANDLE:
			r.Handle = ad.Uint64()
		case unix.NFTA_RULE_EXPRESSIONS:
			ad.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					list.Nested(r.decodeExpr)
				}
				return nil
			})
		}
	}
	return chain, r, ad.Err()
}

// decodeExpr notes the chain of an expression "immediate" with a verdict.
func (r *Rule) decodeExpr(ad *netlink.AttributeDecoder) error {
	name := ""
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
		case unix.NFTA_EXPR_DATA:
			if name == "immediate" {
				descend(ad, []uint16{unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN}, func(v string) { r.Target = v })
			}
		}
	}
	return nil
}

// descend follows a path of nested attributes to a string.
func descend(ad *netlink.AttributeDecoder, path []uint16, found func(string)) {
	ad.Nested(func(inner *netlink.AttributeDecoder) error {
		for inner.Next() {
			switch {
			case inner.Type() != path[0]:
			case len(path) == 1:
				found(inner.String())
			default:
				descend(inner, path[1:], found)
			}
		}
		return nil
	})
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
