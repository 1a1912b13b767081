// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"maps"
	"slices"

	"fairlead/overlay"
)

// roster has the nodes of the cluster, and which of them the passes have not seen.
type roster struct {
	self    overlay.Node
	peers   map[string]overlay.Node
	version uint64 // number of calls that changed anything; 0 before the first set
	// news are the names of peers that changed since the last take. Nil means that any may
	// have.
	news map[string]struct{}
}

// set replaces all nodes.
func (n *roster) set(self overlay.Node, peers []overlay.Node) {
	n.self, n.news = self, nil
	n.peers = make(map[string]overlay.Node, len(peers))
	for i := range peers {
		n.peers[peers[i].Name] = peers[i]
	}
	n.version++
}

// change replaces peers, after the first set. It reports whether any differs.
func (n *roster) change(came []overlay.Node, gone []string) bool {
	news := false
	note := func(name string) {
		news = true
		if n.news != nil {
			n.news[name] = struct{}{}
		}
	}
	for i := range came {
		if old, known := n.peers[came[i].Name]; !known || !old.Equal(&came[i]) {
			n.peers[came[i].Name] = came[i]
			note(came[i].Name)
		}
	}
	for _, name := range gone {
		if _, known := n.peers[name]; known {
			delete(n.peers, name)
			note(name)
		}
	}
	if news {
		n.version++
	}
	return news
}

// take returns the input of a pass. With some it contains only what changed since the last
// take, where that is known.
func (n *roster) take(some bool) input {
	news := n.news
	n.news = map[string]struct{}{}
	if !some || news == nil {
		return n.all()
	}
	in := input{self: n.self, version: n.version, changed: &changed{}}
	for name := range news {
		if peer, is := n.peers[name]; is {
			in.changed.came = append(in.changed.came, peer)
		} else {
			in.changed.gone = append(in.changed.gone, name)
		}
	}
	return in
}

// all returns the input of a pass, with all peers.
func (n *roster) all() input {
	return input{self: n.self, peers: slices.Collect(maps.Values(n.peers)), version: n.version}
}

// whole returns the present input of a pass, with all peers.
func (k *Keeper) whole() input {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.nodes.all()
}
