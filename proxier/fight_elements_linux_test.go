// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/proxiertest"
)

// quarrelling is set in the environment of a process that changes elements.
const quarrelling = "FAIRLEAD_TEST_QUARREL"

// quarrelOver is set there to the number of Services.
const quarrelOver = "FAIRLEAD_TEST_QUARREL_SERVICES"

// quarrel starts a process that commits 1,000 times a second, until end is called. Where it
// goes through several objects in turn, these are of the first services; see fightBenchmark.
//
//   - "rules" changes the rules of a chain, and flushes it. "chains" flushes all chains in turn.
//   - "adds" adds a frontend of its own, and deletes it. "many" adds another one each time.
//   - "delete" deletes a frontend of ours, if it is there, and "deletes" one after another.
//   - "backends" deletes a backend each time, and "replaces" changes the verdict of a frontend.
//   - "shared" deletes an element of a set of addresses, and "ranges" one of ranges.
//   - "clients" adds affinity entries that lead nowhere.
//   - "mixed" does all of these in turn.
//   - "flushes" deletes the table, if it is there.
func (w *world) quarrel(t testing.TB, what string, services int) (end func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := nstest.Command(t, w.ns, self, "-test.run", "^TestQuarrelling$")
	cmd.Env = append(os.Environ(), quarrelling+"="+what, quarrelOver+"="+strconv.Itoa(services))
	return w.start(t, cmd)
}

// quarrellers is how many transactions are on their way at once. Each takes the kernel up to
// some milliseconds where other transactions have much to clean up.
const quarrellers = 4

// TestQuarrelling is the process of quarrel.
func TestQuarrelling(t *testing.T) {
	what := os.Getenv(quarrelling)
	if what == "" {
		t.Skip("runs as another process of other tests")
	}
	services, err := strconv.Atoi(os.Getenv(quarrelOver))
	if err != nil {
		t.Fatal(err)
	}
	turns := make(chan int, 100)
	for range quarrellers {
		table, err := kernel.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range turns {
				_ = table.Commit(t.Context(), quarrelOps(what, i, services)) // some are refused
			}
		}()
	}
	start := time.Now()
	for i := 0; ; i++ {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Millisecond)))
		turns <- i
	}
}

// quarrelOps returns what a quarrel commits in its i-th turn.
func quarrelOps(what string, i, services int) ruleset.Batch {
	one := func(verb ruleset.Verb, e ruleset.Element) ruleset.Op { return ruleset.Op{Verb: verb, Element: e} }
	key := servicesKey(i % services)
	dropped := func(key inet.Addr) ruleset.Element {
		return ruleset.Element{Set: ruleset.VerdictsOf(key), Key: key, Verdict: ruleset.VerdictDrop}
	}
	v4 := inet.IPv4
	if mix := []string{"rules", "chains", "adds", "many", "deletes", "replaces", "backends", "shared", "ranges", "clients"}; what == "mixed" {
		what = mix[i/2%len(mix)]
	}
	switch what {
	case "rules":
		c := ruleset.Chain{Name: "services"}
		if i%2 == 0 {
			c.Rules = quarrelChains()[0].Rules
		}
		return ruleset.Batch{{Verb: ruleset.AddChain, Chain: &c}}
	case "chains":
		chains := quarrelChains()
		return ruleset.Batch{{Verb: ruleset.FlushChain, Name: chains[i%len(chains)].Name}}
	case "delete":
		return ruleset.Batch{one(ruleset.DeleteElement, dropped(nattest.Addr("10.96.0.77:80", inet.TCP)))}
	case "deletes":
		return ruleset.Batch{one(ruleset.DeleteElement, dropped(key))}
	case "replaces":
		return ruleset.Batch{one(ruleset.DeleteElement, dropped(key)), one(ruleset.AddElement, dropped(key))}
	case "backends":
		return ruleset.Batch{one(ruleset.DeleteElement, ruleset.Element{Set: ruleset.BackendsOf(key), Key: key, Slot: uint32(i % 10)})}
	case "ranges":
		e := ruleset.Element{Set: ruleset.Set{Kind: ruleset.ServiceCIDRs, Family: v4}, Client: netip.MustParsePrefix("10.96.0.0/16")}
		return ruleset.Batch{one([]ruleset.Verb{ruleset.DeleteElement, ruleset.AddElement}[i%2], e)}
	case "shared":
		return ruleset.Batch{one(ruleset.DeleteElement, ruleset.Element{Set: ruleset.Set{Kind: ruleset.ClusterIPs, Family: v4}, Key: inet.Addr{IP: key.IP}})}
	case "clients":
		return ruleset.Batch{clientOp(key, [2]byte{198, 18}, i, netip.MustParseAddrPort("192.0.2.1:80"))}
	case "flushes":
		return ruleset.Batch{{Verb: ruleset.DeleteTable}}
	case "many":
		e := dropped(nattest.Addr(otherFrontend, inet.TCP))
		e.Key.Port = uint16(1 + i%60000)
		return ruleset.Batch{one(ruleset.AddElement, e)}
	}
	return ruleset.Batch{one([]ruleset.Verb{ruleset.AddElement, ruleset.DeleteElement}[i%2], dropped(nattest.Addr(otherFrontend, inet.TCP)))}
}

// quarrelChains returns the chains of the program. The first one rejects everything.
func quarrelChains() []ruleset.Chain { return ruleset.Program(&nat.Settings{}, true, nil) }

// clientOp returns an operation that remembers client number i of a network with a backend.
func clientOp(key inet.Addr, network [2]byte, i int, backend netip.AddrPort) ruleset.Op {
	e := ruleset.Element{Set: ruleset.AffinityOf(key, false, 0), Key: key, Data: backend}
	e.Client = netip.PrefixFrom(netip.AddrFrom4([4]byte{network[0], network[1], byte(i >> 8), byte(i)}), 32)
	return ruleset.Op{Verb: ruleset.AddElement, Element: e}
}

// servicesKey returns the frontend of the i-th Service of fightBenchmark.
func servicesKey(i int) inet.Addr {
	return nattest.Addr(fmt.Sprintf("10.96.%d.%d:80", i/250, i%250), inet.TCP)
}

const otherFrontend = "10.96.255.200:80"

// TestFightElements fights with a program that changes something of the table, or flushes
// everything, 1,000 times a second. The table is read a bounded number of times a second, most
// often while it is not there. One line names the program, a change of another Service is served
// meanwhile and stays so, and soon after the fight the table equals a rebuild.
func TestFightElements(t *testing.T) {
	nstest.Long(t, "TestFightNamed fights with the same loop")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	thread := filepath.Base(self)
	thread = thread[:min(len(thread), 15)] // as the kernel names it
	for _, name := range []string{"adds", "delete", "many", "rules", "replaces", "shared", "clients", "mixed", "flushes"} {
		t.Run(name, func(t *testing.T) {
			most := map[string]int{"flushes": 30, "mixed": 5}[name] // readings a second
			if most == 0 {
				most = 3
			}
			w := newTestWorld(t)
			log := w.run(t)
			clean, err := kernel.Open(w.ns)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = clean.Close() })
			service := func(n int) {
				t.Helper()
				if err := w.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: new-%d}
spec: {clusterIP: 10.96.0.%d, ports: [{port: 80, protocol: TCP}]}
`, n, n)); err != nil {
					t.Fatal(err)
				}
			}
			has := func(n int) bool {
				key := servicesKey(n)
				clean.Name(ruleset.Batch{{Verb: ruleset.AddElement, Element: ruleset.Element{Set: ruleset.VerdictsOf(key), Key: key}}})
				found, err := clean.LoadNamed(t.Context())
				return err == nil && len(slices.Collect(found.Found.Elements.All())) == 1
			}
			service(77)
			proxiertest.Eventually(t, "the Service is served", func() bool { return has(77) })
			end := w.quarrel(t, name, 78) // the first of them, and none of the next
			proxiertest.Eventually(t, "a line about the fight", func() bool {
				return strings.Contains(log.String(), `"Warning: another program keeps changing the table, repairing it at most once per second: stop that program" by="`+thread+` (pid `)
			})
			count := func() (whole, parts int64) {
				if whole = w.table.loads.Load(); name == "flushes" {
					return whole, whole
				}
				return whole, whole + w.table.rules.Load() + w.table.named.Load()
			}
			whole, parts := count()
			start := time.Now()
			service(78)
			if name != "flushes" { // no element lasts for longer than a millisecond then
				proxiertest.Eventually(t, "a new Service is served", func() bool { return has(78) })
			}
			for range 10 {
				time.Sleep(200 * time.Millisecond)
				if name != "flushes" && !has(78) {
					t.Error("a Service is no longer served that the other program leaves alone")
				}
			}
			took := time.Since(start)
			wholeNow, partsNow := count()
			whole, parts = wholeNow-whole, partsNow-parts
			if float64(parts) > float64(most)*took.Seconds()+4 || name != "flushes" && whole > 2 {
				t.Errorf("%d readings in %s, %d of them of everything", parts, took, whole)
			}
			if n := strings.Count(log.String(), "keeps changing the table"); n != 1 {
				t.Errorf("%d lines about the fight, want 1:\n%s", n, log)
			}
			end()
			peace := time.Now()
			proxiertest.Eventually(t, "the table is as wanted", func() bool {
				return w.p.changed.Load() == 0 && w.p.Behind() == 0 && time.Since(peace) > 2*lastPause && has(77) && has(78)
			})
			t.Logf("%d readings in %s of fight, %d of everything; as wanted %s after it", parts, took, whole, time.Since(peace))
			same(t, clean)
		})
	}
}
