// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"net/netip"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/nat/ruleset"
)

// loadTries bounds how often a dump is repeated that changes while it is read.
const loadTries = 5

// Load reads what the kernel has. A table that does not exist is an empty
// Snapshot and no error. It costs one pass over all elements.
func (t *Table) Load(ctx context.Context) (*ruleset.Snapshot, error) {
	var err error
	for range loadTries {
		if err = ctx.Err(); err != nil {
			return nil, err
		}
		var r *ruleset.Snapshot
		if r, err = t.load(); err == nil {
			return r, nil
		}
		if again := t.redial(); again != nil {
			return nil, errors.Join(err, again)
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOENT) {
			break // neither a dump interrupted by a change nor an object just gone
		}
	}
	return nil, fmt.Errorf("load table: %w", classify(err))
}

func (t *Table) load() (*ruleset.Snapshot, error) {
	sets, err := t.dump(unix.NFT_MSG_GETSET, attrs(str(unix.NFTA_SET_TABLE, ruleset.TableName)))
	if errors.Is(err, unix.ENOENT) {
		return &ruleset.Snapshot{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list sets: %w", err)
	}
	r := &ruleset.Snapshot{Chains: map[string]string{}, Ranges: map[ruleset.Set][]netip.Prefix{}}
	readSets(r, sets)
	if err := t.loadChains(r); err != nil {
		return nil, err
	}
	var failed error
	ruleset.AllSets(func(s ruleset.Set) {
		if failed == nil && r.Exists && r.Alien == "" && !s.Spec().Learnt {
			failed = t.loadElements(r, s)
		}
	})
	return r, failed
}

// readSets checks the declarations. A missing one only means that the table is
// incomplete.
func readSets(r *ruleset.Snapshot, msgs []netlink.Message) {
	found := 0
	for _, m := range msgs {
		got := attributes(m.Data[4:])
		name := text(got[unix.NFTA_SET_NAME])
		set, ok := ruleset.SetNamed(name)
		if !ok || !isDeclared(set, got) {
			r.Alien = "declaration of set " + name
			return
		}
		found++
	}
	r.Exists = found == ruleset.NumSets
}

// isDeclared compares the attributes of a set in the kernel with ours.
func isDeclared(s ruleset.Set, got map[uint16][]byte) bool {
	want := attributes(setAttrs(s, 0))
	for _, a := range []uint16{
		unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_USERDATA, unix.NFTA_SET_DATA_TYPE,
	} {
		if !bytes.Equal(got[a], want[a]) {
			return false
		}
	}
	return be32(got[unix.NFTA_SET_FLAGS]) == s.Spec().Flags() // left out when 0
}

// loadChains reads hooks and rules as fingerprints.
func (t *Table) loadChains(r *ruleset.Snapshot) error {
	inTable := attrs(str(unix.NFTA_RULE_TABLE, ruleset.TableName))
	chains, err := t.dump(unix.NFT_MSG_GETCHAIN, nil)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	rules, err := t.dump(unix.NFT_MSG_GETRULE, inTable)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	hashes := map[string]hash.Hash{}
	for _, m := range chains {
		got := attributes(m.Data[4:])
		if text(got[unix.NFTA_CHAIN_TABLE]) != ruleset.TableName {
			continue
		}
		name := text(got[unix.NFTA_CHAIN_NAME])
		h := sha256.New()
		hashes[name] = h
		hook, based := got[unix.NFTA_CHAIN_HOOK]
		if based {
			at := attributes(hook)
			num, prio := be32(at[unix.NFTA_HOOK_HOOKNUM]), be32(at[unix.NFTA_HOOK_PRIORITY])
			ruleset.HookInto(h, nftables.ChainType(text(got[unix.NFTA_CHAIN_TYPE])),
				nftables.ChainHookRef(nftables.ChainHook(num)), nftables.ChainPriorityRef(nftables.ChainPriority(int32(prio))))
		}
		if want := ruleset.Hooks[name]; (want != nil) != based || based && !isHookedAt(want, got[unix.NFTA_CHAIN_HOOK]) {
			r.Alien = "hook of chain " + name
		}
	}
	for _, m := range rules {
		got := attributes(m.Data[4:])
		h, ok := hashes[text(got[unix.NFTA_RULE_CHAIN])]
		if !ok {
			continue
		}
		exprs, err := parseExprs(got[unix.NFTA_RULE_EXPRESSIONS])
		if err != nil {
			return err
		}
		ruleset.RuleInto(h, exprs)
	}
	for name, h := range hashes {
		r.Chains[name] = string(h.Sum(nil)[:16])
	}
	return nil
}

func isHookedAt(b *ruleset.Hook, hook []byte) bool {
	at := attributes(hook)
	return be32(at[unix.NFTA_HOOK_HOOKNUM]) == uint32(b.Number) &&
		int32(be32(at[unix.NFTA_HOOK_PRIORITY])) == int32(b.Priority)
}

func (t *Table) loadElements(r *ruleset.Snapshot, s ruleset.Set) error {
	els, err := t.conn.GetSetElements(t.set(s))
	if err != nil {
		return fmt.Errorf("list elements of %s: %w", s, err)
	}
	if s.Spec().Ranges && len(s.Spec().Key) == 1 {
		r.Ranges[s] = readIntervals(els)
		return nil
	}
	for i := range els {
		e, ok := decode(s, &els[i])
		if !ok {
			r.Alien = fmt.Sprintf("element %x of %s", els[i].Key, s)
			return nil
		}
		r.Elements = append(r.Elements, e)
	}
	return nil
}

// dump runs a request that is answered by many messages.
func (t *Table) dump(typ uint16, body []byte) ([]netlink.Message, error) {
	m := message(typ, netlink.Dump, body)
	m.Header.Flags &^= netlink.Acknowledge
	return t.raw.Execute(m)
}
