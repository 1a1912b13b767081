// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/status"
)

// outsiders applies Services whose endpoints lie outside of the cluster's ranges, more than are read
// at a start.
func (w *world) outsiders(t *testing.T) {
	t.Helper()
	const services, endpoints = 41, 1000
	for i := range services {
		var b strings.Builder
		fmt.Fprintf(&b, `
apiVersion: v1
kind: Service
metadata: {namespace: default, name: s%[1]d}
spec: {clusterIP: 10.96.1.%[2]d, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: s%[1]d, labels: {kubernetes.io/service-name: s%[1]d}}
addressType: IPv4
ports: [{port: 80, protocol: TCP}]
endpoints:
`, i, i+1)
		for j := range endpoints {
			fmt.Fprintf(&b, "- addresses: [172.%d.%d.%d]\n", 16+i, j>>8, j&0xff)
		}
		if err := w.apply(b.String()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWriterOfNothing: another program takes its change back, so that nothing is repaired. Of what is
// found later, for example by a check, it is not named as the writer.
func TestWriterOfNothing(t *testing.T) {
	w := newTestWorld(t)
	w.p.history = status.NewHistory()
	sync := func() {
		t.Helper()
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	w.p.writer.Store(&nat.Writer{Name: "nft", PID: 4711})
	w.p.distrust(t.Context())
	sync()
	if err := w.table.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.p.apply.Distrust()
	sync()
	repairs := w.p.history.Past().Repairs
	if len(repairs) != 1 || repairs[0].By != (nat.Writer{}).String() {
		t.Errorf("repairs %v, want one by %s", repairs, nat.Writer{})
	}
}

// TestCheckAfterStart: another program took an element from a set that is not read at a start, and added
// one, while no agent ran. The agent is ready first, then repairs both and reports it.
func TestCheckAfterStart(t *testing.T) {
	w := newTestWorld(t)
	w.outsiders(t)
	if _, err := w.sync(); err != nil {
		t.Fatal(err)
	}
	element := func(ip string) ruleset.Element {
		return ruleset.Element{Set: ruleset.Set{Kind: ruleset.Outside, Family: inet.IPv4}, Client: netip.MustParsePrefix(ip + "/32")}
	}
	other, err := kernel.Open(w.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	damage := ruleset.Batch{{Verb: ruleset.DeleteElement, Element: element("172.20.1.77")}, {Verb: ruleset.AddElement, Element: element("192.0.2.1")}}
	if err := other.Commit(t.Context(), damage); err != nil {
		t.Fatal(err)
	}
	if _, counts, err := other.Count(t.Context(), damage[0].Element.Set); err != nil || !counts {
		t.Skipf("the kernel does not count the elements of sets: %v", err)
	}
	before := w.table.loads.Load()
	log := w.runUnsynced(t)
	proxiertest.Eventually(t, "the watch", w.table.armed.Load)
	proxiertest.Eventually(t, "the table is read", func() bool { return w.table.loads.Load() > before })
	w.store.Delivered(unread)
	proxiertest.Eventually(t, "the first sync", w.p.Ready)
	for _, found := range []string{"172.20.1.77", "192.0.2.1"} {
		proxiertest.Eventually(t, "the repair of "+found, func() bool {
			return strings.Contains(log.String(), `changed it" found="1 element (outside-backends4 `+found+`)"`)
		})
	}
	proxiertest.Eventually(t, "the end of the check", w.p.Checked)
	proxiertest.Eventually(t, "the element", func() bool {
		for i := range damage {
			other.Name(damage[i : i+1])
		}
		found, err := other.LoadNamed(t.Context())
		if err != nil {
			return false
		}
		there := 0
		for e := range found.Found.Elements.All() {
			if there++; *e != damage[0].Element {
				return false
			}
		}
		return there == 1
	})
}
