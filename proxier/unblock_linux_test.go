// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"fairlead/internal/nstest"
	"fairlead/nat/nattest"
	"fairlead/proxier/proxiertest"
)

// apiServers are the two addresses of an API server: one of a machine, and a ClusterIP.
var apiServers = []string{"192.0.2.1:8080", "10.96.0.1:80"}

// newServedWorld is a world whose table serves the API server's ClusterIP, and whose agent has
// ended. Its namespace has the API server, too.
func newServedWorld(t *testing.T) *world {
	t.Helper()
	w := newTestWorld(t)
	for _, args := range []string{"addr add 192.0.2.1/32 dev lo", "addr add 10.244.0.1/32 dev lo", "link set lo up", "route add 10.96.0.0/16 dev lo"} {
		if out, err := nstest.Command(t, w.ns, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	var l net.Listener
	if err := w.ns.Do(func() (err error) { l, err = net.Listen("tcp4", ":8080"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	err := w.apply(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: kubernetes}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.0.1]}]
`)
	if err == nil {
		_, err = w.sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	proxiertest.Eventually(t, "the API server is reached at first", func() bool { return w.reach() == nil })
	return w
}

// reach connects to the API server by both addresses.
func (w *world) reach() error {
	return w.ns.Do(func() error {
		var failed []error
		for _, to := range apiServers {
			c, err := net.DialTimeout("tcp4", to, 200*time.Millisecond)
			if err == nil {
				err = c.Close()
			}
			failed = append(failed, err)
		}
		return errors.Join(failed...)
	})
}

// unread is the source that an agent of runUnsynced waits for.
const unread = "the API server"

// runUnsynced starts another agent, which waits for its API server until unread is delivered.
func (w *world) runUnsynced(t *testing.T) *nstest.Log {
	t.Helper()
	w.restart()
	w.store.Expect(unread)
	w.table.ops.Reset()
	w.table.armed.Store(false)
	log := &nstest.Log{}
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(log)))))
	done := make(chan error)
	go func() { done <- w.p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return log
}

func (w *world) nft(t *testing.T, args ...string) string {
	t.Helper()
	out, err := nstest.Command(t, w.ns, "nft", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// blocks lists the table apart from a chain of another program without a hook.
func (w *world) blocks(t *testing.T) []string {
	t.Helper()
	return nattest.Blocks(strings.Replace(w.nft(t, "-s", "list", "table", "inet", "fairlead"), "\n\tchain mine {\n\t\tdrop\n\t}\n", "", 1))
}

// damages are changes by another program that cut the node off from its API server.
var damages = map[string]string{
	"policy":        "add chain inet fairlead postrouting { policy drop; }; add chain inet fairlead prerouting { policy drop; }; add chain inet fairlead output { policy drop; }",
	"invalid":       "add chain inet fairlead invalid { policy drop; }",
	"output":        "insert rule inet fairlead output drop",
	"prerouting":    "insert rule inet fairlead invalid drop",
	"postrouting":   "insert rule inet fairlead postrouting counter drop",
	"ours":          "insert rule inet fairlead output ip daddr != @pods4 drop; insert rule inet fairlead output jump refuse",
	"chain":         "flush chain inet fairlead output; add rule inet fairlead output drop",
	"services":      "flush chain inet fairlead services; add rule inet fairlead services drop",
	"unserved":      "insert rule inet fairlead services ip daddr != @pods4 drop",
	"jump":          "add chain inet fairlead mine; add rule inet fairlead mine drop; insert rule inet fairlead output jump mine",
	"redirect":      "insert rule inet fairlead output meta l4proto tcp redirect to :1",
	"foreign chain": "add chain inet fairlead in { type filter hook input priority 0; policy drop; }; add chain inet fairlead mine-too { type filter hook output priority 0; }; add rule inet fairlead mine-too ct state new drop",
	"dormant":       "insert rule inet fairlead output drop; add table inet fairlead { flags dormant; }",
	"flushed":       "flush table inet fairlead",
	"chains":        "flush chain inet fairlead output; flush chain inet fairlead prerouting; delete chain inet fairlead services; delete chain inet fairlead output",
	"pick":          "flush chain inet fairlead cluster4-1; flush chain inet fairlead pick4-1; flush chain inet fairlead draw4-1",
	"hook":          "delete chain inet fairlead output; add chain inet fairlead output { type filter hook output priority 7; policy drop; }",
}

// TestUnblock cuts the node off while no agent runs. The next agent, which has read no
// object, makes the table what it was, so that it reaches the API server.
func TestUnblock(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			w := newServedWorld(t)
			want := w.blocks(t)
			w.nft(t, damage)
			if w.reach() == nil {
				t.Fatal("the node is not cut off")
			}
			log := w.runUnsynced(t)
			proxiertest.Eventually(t, "the API server is reached", func() bool { return w.reach() == nil })
			if diff := cmp.Diff(want, w.blocks(t)); diff != "" {
				t.Errorf("the table differs (- before, + after):\n%s", diff)
			}
			const line = "Repaired the table after another program changed it"
			proxiertest.Eventually(t, line, func() bool { return strings.Contains(log.String(), line) })
			if n := strings.Count(log.String(), line); n != 1 || strings.Contains(w.table.ops.String(), "element") {
				t.Errorf("%d lines about one repair, of these operations:\n%s\n%s", n, w.table.ops.String(), log)
			}
		})
	}
}

// TestUnblockElements adds elements that cut the node off, while no agent runs and while one
// waits for its API server. They are deleted, although nobody knows the objects. What was
// there before is there again, but for ranges that the other program deleted: these wait.
func TestUnblockElements(t *testing.T) {
	for name, tt := range map[string]struct {
		damage  string
		without string // what the objects bring back
		found   string
	}{
		"refused":   {"add element inet fairlead cluster-ips4 { 192.0.2.1 }", "", "1 element (cluster-ips4 192.0.2.1)"},
		"dropped":   {"add element inet fairlead service-cidrs4 { 192.0.2.1 }", "", "1 element (service-cidrs4 192.0.2.1)"},
		"verdict":   {"add element inet fairlead vips4 { 192.0.2.1 . tcp . 8080 : goto refuse }", "", "1 element (vips4 192.0.2.1 . tcp . 8080 : goto refuse)"},
		"backend":   {"add element inet fairlead backends4 { 192.0.2.1 . tcp . 8080 . 0 : 192.0.2.9 . 1 }; add element inet fairlead vips4 { 192.0.2.1 . tcp . 8080 : goto cluster4-1 }", "", "2 elements (backends4 192.0.2.1 . tcp . 8080 . 0 : 192.0.2.9 . 1)"},
		"any":       {"add element inet fairlead vips4 { * : drop }", "", "1 element (vips4 *)"},
		"ranges":    {"flush set inet fairlead service-cidrs4; add element inet fairlead service-cidrs4 { 0.0.0.0/0 }", "10.96.0.0/16", "1 element (service-cidrs4 0.0.0.0/0)"},
		"comment":   {`add element inet fairlead service-cidrs4 { 192.0.2.0/24 comment "mine" }`, "10.96.0.0/16", "1 element (ranges of service-cidrs4)"},
		"with more": {"add element inet fairlead cluster-ips4 { 192.0.2.1 }; insert rule inet fairlead output drop; add table inet fairlead { flags dormant; }", "", "1 element (cluster-ips4 192.0.2.1)"},
	} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/running=%v", name, running), func(t *testing.T) {
				w := newServedWorld(t)
				want := w.blocks(t)
				var log *nstest.Log
				if running {
					log = w.runUnsynced(t)
					proxiertest.Eventually(t, "the watch", w.table.armed.Load)
				}
				w.nft(t, tt.damage)
				if !running {
					if w.reach() == nil && !strings.Contains(tt.damage, "dormant") {
						t.Fatal("the node is not cut off")
					}
					log = w.runUnsynced(t)
				}
				line := fmt.Sprintf("found=%q", tt.found)
				proxiertest.Eventually(t, line, func() bool {
					return strings.Contains(log.String(), line) || strings.Contains(log.String(), ", "+tt.found)
				})
				proxiertest.Eventually(t, "the API server is reached", func() bool { return w.reach() == nil })
				if diff := cmp.Diff(want, w.blocks(t)); tt.without == "" && diff != "" {
					t.Errorf("the table differs (- before, + after):\n%s", diff)
				}
				w.store.Delivered(unread)
				proxiertest.Eventually(t, "the first sync", w.p.Ready)
				if diff := cmp.Diff(want, w.blocks(t)); diff != "" {
					t.Errorf("the table differs after the first sync (- before, + after):\n%s", diff)
				}
				if n := strings.Count(log.String(), "Repaired the table"); n > 2 {
					t.Errorf("%d lines about repairs:\n%s", n, log)
				}
			})
		}
	}
}

// TestUnblockAgain cuts the node off while the agent waits for the API server.
func TestUnblockAgain(t *testing.T) {
	w := newServedWorld(t)
	log := w.runUnsynced(t)
	proxiertest.Eventually(t, "the watch", w.table.armed.Load)
	for range 3 {
		w.nft(t, damages["policy"])
		proxiertest.Eventually(t, "the API server is reached", func() bool { return w.reach() == nil })
	}
	if !strings.Contains(log.String(), `found="3 chains (output)" by="nft (pid `) {
		t.Errorf("no line about the repair:\n%s", log)
	}
}

// TestUnblockWritesNothing starts an agent on tables that are as another one left them,
// which had other flags or another version, and read other objects.
func TestUnblockWritesNothing(t *testing.T) {
	quiet := func(t *testing.T, w *world) {
		t.Helper()
		before := w.nft(t, "-s", "list", "table", "inet", "fairlead")
		log := w.runUnsynced(t)
		proxiertest.Eventually(t, "the table is read", func() bool { return w.table.armed.Load() && w.table.rules.Load() > 0 })
		proxiertest.Eventually(t, "the pass is done", func() bool { return len(w.p.drifted) == 0 })
		if after := w.nft(t, "-s", "list", "table", "inet", "fairlead"); after != before || w.table.ops.Len() > 0 {
			t.Errorf("the agent wrote\n%s\n%s%s", w.table.ops.String(), log, cmp.Diff(before, after))
		}
	}
	t.Run("same", func(t *testing.T) { quiet(t, newServedWorld(t)) })
	t.Run("flags", func(t *testing.T) {
		w := newServedWorld(t)
		w.cfg.MasqueradeMark, w.cfg.MasqueradeAll, w.cfg.KeepInvalid, w.cfg.Loopback = 1<<20, true, true, true
		w.restart()
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
		w.cfg = testConfig()
		quiet(t, w)
	})
	files, err := filepath.Glob("testdata/tables/*.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no saved tables", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w := newTestWorld(t)
			loadTable(t, w.ns, readSaved(t, file))
			quiet(t, w)
		})
	}
}

// TestUnblockRetried has the first repair fail.
func TestUnblockRetried(t *testing.T) {
	w := newServedWorld(t)
	w.nft(t, damages["policy"])
	w.table.fault = 1
	log := w.runUnsynced(t)
	proxiertest.Eventually(t, "the API server is reached", func() bool { return w.reach() == nil })
	if !strings.Contains(log.String(), errInjected.Error()) {
		t.Errorf("no line about the failure:\n%s", log)
	}
}

// TestReadAhead starts an agent that reads the table while it waits for its API server, and
// changes the table before the objects arrive. A table that nobody changes is read once, and
// nothing is written.
func TestReadAhead(t *testing.T) {
	for name, change := range map[string]string{
		"nothing":  "",
		"element":  "delete element inet fairlead vips4 { 10.96.0.1 . tcp . 80 }",
		"backend":  "delete element inet fairlead backends4 { 10.96.0.1 . tcp . 80 . 0 }",
		"stranger": "add element inet fairlead cluster-ips4 { 10.96.0.9 }",
		"set":      "add set inet fairlead mine { type ipv4_addr; }",
		"rule":     "insert rule inet fairlead services counter",
		"policy":   damages["policy"],
		"rules":    "flush table inet fairlead",
		"table":    "delete table inet fairlead",
		"ruleset":  "flush ruleset",
	} {
		t.Run(name, func(t *testing.T) {
			w := newServedWorld(t)
			want, before := w.blocks(t), w.table.loads.Load()
			log := w.runUnsynced(t)
			proxiertest.Eventually(t, "the watch", w.table.armed.Load)
			proxiertest.Eventually(t, "the table is read", func() bool { return w.table.loads.Load() > before })
			if change != "" {
				w.nft(t, change)
			}
			w.store.Delivered(unread)
			proxiertest.Eventually(t, "the first sync", w.p.Ready)
			proxiertest.Eventually(t, "the table is as it was", func() bool {
				_, err := nstest.Command(t, w.ns, "nft", "list", "table", "inet", "fairlead").Output()
				return err == nil && cmp.Equal(want, w.blocks(t))
			})
			if n := w.table.loads.Load() - before; change == "" && (n != 1 || w.table.ops.Len() > 0) {
				t.Errorf("the table was read %d times, and this was written:\n%s\n%s", n, w.table.ops.String(), log)
			}
		})
	}
}
