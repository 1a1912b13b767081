// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
	"fairlead/overlay"
)

// learn notes the words of all parts.
func (n *memory) learn() {
	w := n.words
	e := w.learner()
	if n.about.value != nil {
		e.name(n.about.value.Host)
	}
	if n.objects.value != nil {
		e.objects(n.objects.value)
	}
	e.pods(n.pods.value)
	if c := n.config.value; c != nil {
		e.name(c.Table.NodeName)
		w.learnRanges(c)
	}
	if t := n.table.value; t != nil {
		w.learnTable(t)
	}
	if v := n.network.value; v != nil {
		w.learnNetwork(v)
	}
	for _, f := range n.cni.value {
		w.learnText(f.Text)
	}
	for i := range n.logs.value {
		w.learnLog(&n.logs.value[i])
	}
	if r := n.check.value; r != nil {
		w.learnCheck(r)
	}
	if s, ok := n.state(); ok {
		w.learnText(string(n.agent.value))
		w.learnState(s)
	}
}

func (w *words) learnRanges(c *view.Config) {
	lists := [][]string{c.Table.NodePortAddresses}
	for _, p := range slices.Concat(c.Table.ClusterCIDRs, c.Table.ServiceCIDRs, c.Table.ExternalIPs) {
		w.addresses.learnRange(p)
	}
	w.addresses.learn(c.Table.NodeAddress)
	if o := c.Table.Overlay; o != nil {
		for _, p := range slices.Concat(o.ClusterCIDRs, o.ServiceCIDRs) {
			w.addresses.learnRange(p)
		}
		lists = append(lists, o.Uplink.Interfaces)
	}
	for _, list := range lists {
		for _, s := range list {
			w.learnText(s)
		}
	}
}

func (w *words) learnTable(t *listing.Table) {
	learn := func(e *ruleset.Element) {
		w.addresses.learn(e.Key.IP)
		w.addresses.learn(e.Data.Addr())
		w.addresses.learn(e.Client.Addr())
		w.learnRef(e.Comment)
	}
	for e := range t.Found.Elements.All() {
		learn(e)
	}
	for _, list := range t.Entries {
		for i := range list {
			learn(&list[i].Element)
		}
	}
	for _, list := range t.Found.Ranges {
		for _, p := range list {
			w.addresses.learn(p.Addr())
		}
	}
	for i := range t.Found.Strays {
		learn(&t.Found.Strays[i].Element)
	}
}

func (w *words) learnNetwork(v *view.Network) {
	for i := range v.Links {
		for _, p := range v.Links[i].Addrs {
			w.addresses.learn(p.Addr())
			w.addresses.learnRange(p)
		}
	}
	for i := range v.Routes {
		r := &v.Routes[i]
		w.addresses.learnRange(r.Dst)
		w.addresses.learn(r.Gateway)
		w.addresses.learn(r.Source)
	}
	for i := range v.Neighbours {
		w.addresses.learn(v.Neighbours[i].IP)
	}
}

func (w *words) learnState(s *state.State) {
	w.learnName(s.Node)
	if s.APIServer != nil {
		if u, err := url.Parse(s.APIServer.URL); err == nil {
			w.learnHost(u.Hostname())
		}
	}
	if s.Overlay != nil {
		for _, p := range s.Overlay.Peers {
			w.learnName(p.Node)
		}
	}
	for _, p := range s.Problems {
		w.learnRef(p.Name)
	}
}

// learnHost notes the name of a host that is no address.
func (w *words) learnHost(s string) {
	w.learnText(s)
	if strings.ContainsFunc(s, func(r rune) bool { return r >= 'g' && r <= 'z' }) {
		w.learnName(s)
	}
}

// replace puts the pseudonyms into all parts.
func (n *memory) replace() {
	w := n.words
	n.explainErrors()
	if n.about.value != nil {
		about := *n.about.value
		about.Host = w.name(about.Host)
		about.Redacted = w.redacted()
		n.about.value = &about
	}
	e := w.replacer()
	if n.objects.value != nil {
		e.objects(n.objects.value)
		n.objects.value.Sort()
	}
	e.pods(n.pods.value)
	if n.config.value != nil {
		n.config.value = w.config(n.config.value)
	}
	if n.table.value != nil {
		n.table.value = n.table.value.Map(listing.Mapper{Addr: w.addr, Prefix: w.prefix, Comment: w.ref, Text: w.text, Redacted: w.Addresses})
	}
	if n.network.value != nil {
		w.network(n.network.value)
	}
	for i := range n.cni.value {
		n.cni.value[i].Text = w.json(n.cni.value[i].Text)
	}
	for i := range n.logs.value {
		w.log(&n.logs.value[i])
	}
	if n.check.value != nil {
		n.check.value = w.check(n.check.value)
	}
	if s, ok := n.state(); ok {
		w.state(s)
		b, err := json.Marshal(s)
		n.agent = part[json.RawMessage]{b, err}
	}
}

func (w *words) redacted() (out []string) {
	if w.Addresses {
		out = append(out, "addresses")
	}
	if w.Names {
		out = append(out, "names")
	}
	return out
}

// explainErrors replaces words in the reasons why parts are missing.
func (n *memory) explainErrors() {
	for _, err := range []*error{&n.config.err, &n.table.err, &n.objects.err, &n.pods.err, &n.network.err, &n.sysctls.err, &n.conntrack.err, &n.cni.err, &n.agent.err, &n.logs.err, &n.check.err} {
		if *err != nil {
			*err = errors.New(n.words.text((*err).Error()))
		}
	}
}

func (w *words) config(in *view.Config) *view.Config {
	out := *in
	t := &out.Table
	t.NodeName, t.NodeAddress = w.name(t.NodeName), w.addr(t.NodeAddress)
	t.ClusterCIDRs, t.ServiceCIDRs, t.ExternalIPs = w.prefixes(t.ClusterCIDRs), w.prefixes(t.ServiceCIDRs), w.prefixes(t.ExternalIPs)
	t.NodePortAddresses = w.texts(t.NodePortAddresses)
	if t.Overlay != nil {
		o := *t.Overlay
		o.ClusterCIDRs, o.ServiceCIDRs = w.prefixes(o.ClusterCIDRs), w.prefixes(o.ServiceCIDRs)
		o.Uplink = overlay.Uplink{Interfaces: w.texts(o.Uplink.Interfaces), CanReach: w.addr(o.Uplink.CanReach)}
		for f, ip := range in.Table.Overlay.Uplink.Addresses {
			o.Uplink.Addresses[f] = w.addr(ip)
		}
		t.Overlay = &o
	}
	return &out
}

func (w *words) network(n *view.Network) {
	for i := range n.Links {
		l := &n.Links[i]
		l.MAC, l.Addrs = w.mac(l.MAC), w.prefixes(l.Addrs)
		if l.VXLAN != nil {
			v := *l.VXLAN
			v.Local = w.addr(v.Local)
			l.VXLAN = &v
		}
	}
	for i := range n.Routes {
		r := &n.Routes[i]
		r.Dst, r.Gateway, r.Source = w.prefix(r.Dst), w.addr(r.Gateway), w.addr(r.Source)
		for j := range r.Hops {
			r.Hops[j].Gateway = w.addr(r.Hops[j].Gateway)
		}
	}
	for i := range n.Rules {
		n.Rules[i].Src, n.Rules[i].Dst = w.prefix(n.Rules[i].Src), w.prefix(n.Rules[i].Dst)
	}
	for i := range n.Neighbours {
		nb := &n.Neighbours[i]
		nb.IP, nb.MAC = w.addr(nb.IP), w.mac(nb.MAC)
	}
}

func (w *words) state(s *state.State) {
	s.Node, s.Unready, s.Manifests = w.name(s.Node), w.text(s.Unready), w.path(s.Manifests)
	if a := s.APIServer; a != nil {
		a.URL, a.LastError = w.text(a.URL), w.text(a.LastError)
	}
	if r := s.Table.LastRepair; r != nil {
		r.Found = w.text(r.Found)
	}
	for i := range s.Repairs {
		s.Repairs[i].Found = w.text(s.Repairs[i].Found)
	}
	if o := s.Overlay; o != nil {
		for i := range o.Peers {
			p := &o.Peers[i]
			p.Node, p.Addrs, p.PodCIDRs = w.name(p.Node), w.texts(p.Addrs), w.texts(p.PodCIDRs)
		}
	}
	for i := range s.Problems {
		p := &s.Problems[i]
		p.Name, p.Text = w.ref(p.Name), w.text(p.Text)
	}
	for i := range s.Syncs {
		s.Syncs[i].Error = w.text(s.Syncs[i].Error)
	}
	if s.LastSync != nil {
		s.LastSync.Error = w.text(s.LastSync.Error)
	}
	s.Flags = maps.Clone(s.Flags)
	for name, value := range s.Flags {
		s.Flags[name] = w.value(value)
	}
}

// json replaces the words in a JSON text.
func (w *words) json(s string) string {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil || !w.Addresses && !w.Names {
		return w.text(s)
	}
	return indented(w.value(v))
}

// value replaces the words in a decoded JSON value, such as that of a flag.
func (w *words) value(v any) any {
	switch v := v.(type) {
	case string:
		return w.path(v)
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = w.value(out[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[w.text(key)] = w.value(value)
		}
		return out
	}
	return v
}

// path replaces a path, which may have the name of a person, and the words of other texts.
func (w *words) path(s string) string {
	if w.Names && strings.HasPrefix(s, "/") {
		return "(path)"
	}
	return w.text(s)
}
