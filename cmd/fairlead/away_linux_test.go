// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/cmd/fairlead-lab/apiserver"
	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/nstest"
	"fairlead/nat/nattest"
)

// awayDamages are changes by another program while the API server is away. The agent that
// knows the objects repairs them all. One that starts repairs those with alone set, and the
// others once the API server is back.
var awayDamages = []struct {
	name, commands string
	alone          bool
}{
	{"rules", "flush table inet fairlead", true},
	{"chains", "flush chain inet fairlead output; flush chain inet fairlead prerouting; delete chain inet fairlead services", true},
	{"policy", "add chain inet fairlead postrouting { policy drop; }; add chain inet fairlead prerouting { policy drop; }", true},
	{"dormant", "add table inet fairlead { flags dormant; }", true},
	{"foreign rule", "insert rule inet fairlead services drop", true},
	{"foreign base chain", "add chain inet fairlead mine { type filter hook prerouting priority 0; policy drop; }", true},
	{"foreign range", "add element inet fairlead service-cidrs4 { 10.244.0.0/16 }", false},
	{"foreign set", "add set inet fairlead mine { type ipv4_addr; }", false},
	{"verdict", "flush map inet fairlead vips4", false},
	{"table", "delete table inet fairlead", false},
}

// TestAPIServerAway damages the table while the API server is away: under an agent that runs,
// and under one that is killed before and starts after.
func TestAPIServerAway(t *testing.T) {
	nstest.Need(t)
	w := newClockWorld(t)
	node := w.Cluster.Nodes[0]
	want := w.inOrder(t)
	if err := w.api.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range awayDamages {
		t.Run(tt.name+"/running", func(t *testing.T) {
			runNFT(t, node.Host, tt.commands)
			w.serves(t, w.Web)
			await(t, "the table is as it was", func() error { return w.differs(t, want) })
		})
	}
	for _, tt := range awayDamages {
		t.Run(tt.name+"/starting", func(t *testing.T) {
			w.kill(t)
			runNFT(t, node.Host, tt.commands)
			if err := w.StartAgent(node); err != nil {
				t.Fatal(err)
			}
			if tt.alone {
				w.serves(t, w.Web)
				w.serves(t, w.cart)
			}
			if err := w.api.Start(); err != nil {
				t.Fatal(err)
			}
			w.serves(t, w.Web)
			await(t, "the table is as it was", func() error { return w.differs(t, want) })
			if err := w.api.Stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAPIServerRestored replaces the API server by one that has earlier versions of some
// objects, and that counts from 1 again, as after the restore of a backup of etcd. It accepts
// watches from the versions before and is silent then, as a real one. The agent follows it, with
// watches that last and after a restart of its own.
func TestAPIServerRestored(t *testing.T) {
	nstest.Need(t)
	w := newClockWorld(t)
	for i := range 50 { // so that the new server's versions are lower for long
		one := w.Web
		one.Endpoints = one.Endpoints[:1+i%len(one.Endpoints)]
		if err := w.api.Apply(one.Manifest()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.api.Stop(); err != nil {
		t.Fatal(err)
	}
	w.api = apiserver.New(w.listen)
	web, old := w.Web, w.service("old", 31)
	web.Endpoints = web.Endpoints[1:2]
	if err := errors.Join(w.api.Apply(world.NodesManifest(w.Cluster.Nodes)), w.api.Apply(web.Manifest()), w.api.Apply(old.Manifest()), w.api.Start()); err != nil {
		t.Fatal(err)
	}
	w.serves(t, old)
	await(t, "the Service that the backup lacks is gone", func() error {
		if reply, err := w.Client.Dial(t.Context(), w.cart.At(w.cart.ClusterIPs[0])); err == nil {
			return errors.New(reply.String())
		}
		return nil
	})
	for range 10 {
		if reply, err := w.Client.Dial(t.Context(), web.At(web.ClusterIPs[0])); err != nil || reply.Server != web.Endpoints[0].Pod.Name {
			t.Errorf("the earlier endpoints are %s: %s, %v", web.Endpoints[0].Pod.Name, reply.Server, err)
		}
	}
	later := w.service("later", 32)
	if err := w.api.Apply(later.Manifest()); err != nil {
		t.Fatal(err)
	}
	w.serves(t, later)
}

// kill ends the agent by SIGKILL.
func (w *clockWorld) kill(t *testing.T) {
	t.Helper()
	agent := w.Agents[w.Cluster.Nodes[0].Name]
	if err := agent.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-agent.Done()
}

// inOrder returns the table once the agent has nothing to do.
func (w *clockWorld) inOrder(t *testing.T) []string {
	t.Helper()
	var want []string
	await(t, "the table is in order", func() error {
		text, err := os.ReadFile(filepath.Join(w.Logs, w.Cluster.Nodes[0].Name+".log"))
		if err == nil && !strings.Contains(string(text), `"Made the overlay ready"`) {
			err = errors.New("the overlay is not ready")
		}
		if err != nil {
			return err
		}
		before := w.table(t)
		want = w.table(t)
		if len(want) == 0 || !cmp.Equal(before, want) {
			return errors.New("the table changes, or is missing")
		}
		return nil
	})
	return want
}

// table lists the table without the clients that it remembers.
func (w *clockWorld) table(t *testing.T) []string {
	t.Helper()
	out, err := nstest.Command(t, w.Cluster.Nodes[0].NS, "nft", "-s", "list", "table", "inet", "fairlead").Output()
	if err != nil {
		return nil
	}
	clients := func(block string) bool {
		return strings.HasPrefix(block, "map ") && strings.Contains(block, "affinity")
	}
	return slices.DeleteFunc(nattest.Blocks(string(out)), clients)
}

// differs returns how the table differs.
func (w *clockWorld) differs(t *testing.T, want []string) error {
	t.Helper()
	if diff := cmp.Diff(want, w.table(t)); diff != "" {
		return fmt.Errorf("(-want +have)\n%s", diff)
	}
	return nil
}
